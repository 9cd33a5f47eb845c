package content

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/input"
)

// Form is how a snapshot file is stored.
type Form string

// The forms. They can be nested: the form of a tar in gzip is gzip.
const (
	Plain Form = "plain"
	Gzip  Form = "gzip"
	Zstd  Form = "zstd"
	Tar   Form = "tar"
)

// DamagedError says that a file could not be unpacked to its end. It is wrong, whatever
// came out before.
type DamagedError struct {
	Form Form
	// Size is the size of the file if it ends too early, else 0.
	Size int64
	Err  error // from the library
}

func (e *DamagedError) Error() string {
	if e.Size > 0 {
		return fmt.Sprintf("ends after %d bytes", e.Size)
	}
	return fmt.Sprintf("cannot be unpacked as %s: %v", e.Form, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// FormOf determines the form of a file from its first bytes.
func FormOf(f io.ReaderAt) (Form, error) {
	start := make([]byte, input.StartLen)
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return formOf(start[:n]), nil
}

func formOf(start []byte) Form {
	format := input.FormatOf(start)
	switch {
	case format != nil && format.Name == input.Gzip:
		return Gzip
	case format != nil && format.Name == input.Zstd:
		return Zstd
	case input.IsTar(start):
		return Tar
	}
	return Plain
}

// OpenSnapshots opens a snapshot file as it is now, whatever its form: a compressed file, or
// a tar of one file, is unpacked to a temporary file without a name in tempDir, "" for the
// system's temporary folder. A *[DamagedError] comes with a file that has what comes before
// the damage. The caller closes the file. Other errors say that the file could not be read: a
// system error, or an *[input.MemoryError].
func OpenSnapshots(ctx context.Context, path, tempDir string) (f *os.File, form Form, size int64, err error) {
	f, err = durable.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, "", 0, err
	}
	plain, form, err := unpacked(ctx, f, tempDir)
	var damaged *DamagedError
	if err != nil && !errors.As(err, &damaged) {
		return nil, form, 0, errors.Join(err, f.Close())
	}
	if plain != f {
		err = errors.Join(err, f.Close())
	}
	info, statErr := plain.Stat()
	if statErr != nil {
		return nil, form, 0, errors.Join(err, statErr, plain.Close())
	}
	return plain, form, info.Size(), err
}

// unpacked returns f if it is plain, else a temporary file.
func unpacked(ctx context.Context, f *os.File, tempDir string) (*os.File, Form, error) {
	form, err := FormOf(f)
	if err != nil || form == Plain {
		return f, form, err
	}
	if tempDir == "" {
		tempDir = os.TempDir()
	}
	to, err := durable.Unnamed(filepath.Join(tempDir, "ailee"))
	if err != nil {
		return nil, form, err
	}
	err = Unpack(ctx, to, f)
	var damaged *DamagedError
	if err != nil && !errors.As(err, &damaged) {
		return nil, form, errors.Join(err, to.Close())
	}
	return to, form, err
}

// Unpack writes the snapshot file in f, whatever its form, to a file at its position. If f is
// damaged, it writes what comes before the damage and returns a *[DamagedError]. Other errors
// say nothing about the content of f.
func Unpack(ctx context.Context, to, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	form, err := FormOf(f)
	if err != nil {
		return err
	}
	if form == Plain {
		return durable.CopyRange(ctx, to, f, 0, info.Size(), func(int64) {})
	}
	return UnpackFrom(ctx, to, io.NewSectionReader(f, 0, info.Size()), info.Size())
}

// UnpackFrom is [Unpack] for a reader of a file of the given size.
func UnpackFrom(ctx context.Context, to io.Writer, from io.Reader, size int64) error {
	in := input.NewSource(ctx, from)
	out := &systemWriter{to: to}
	form, err := unpack(out, in)
	var memory *input.MemoryError
	switch {
	case err == nil:
		return nil
	case in.Err != nil:
		return in.Err
	case out.err != nil:
		return out.err
	case errors.As(err, &memory):
		return err
	}
	damaged := &DamagedError{Form: form, Err: err}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		damaged.Size = size
	}
	return damaged
}

// unpack unpacks nested forms, and returns the innermost one.
func unpack(to io.Writer, from io.Reader) (form Form, err error) {
	for {
		in := bufio.NewReaderSize(from, 64<<10)
		start, err := in.Peek(input.StartLen)
		if err != nil && !errors.Is(err, io.EOF) {
			return form, err
		}
		switch found := formOf(start); found {
		case Gzip, Zstd:
			form = found
			z, err := input.FormatOf(start).NewReader(in)
			if err != nil {
				return form, err
			}
			defer z.Close()
			from = z
		case Tar:
			return found, unpackTar(to, in)
		default:
			_, err := io.Copy(to, in)
			return form, err
		}
	}
}

// errNotOneFile says that a tar cannot be one of a snapshot file.
var errNotOneFile = errors.New("it does not hold exactly one file")

func unpackTar(to io.Writer, in io.Reader) error {
	files := 0
	for t := tar.NewReader(in); ; {
		head, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && files == 1:
			return nil
		case errors.Is(err, io.EOF):
			return errNotOneFile
		case err != nil:
			return err
		case head.Typeflag == tar.TypeDir:
			continue
		case head.Typeflag != tar.TypeReg || files > 0:
			return errNotOneFile
		}
		files++
		if _, err := io.Copy(to, t); err != nil {
			return err
		}
	}
}

// systemWriter remembers a write error, to distinguish it from damage.
type systemWriter struct {
	to  io.Writer
	err error
}

func (w *systemWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}
