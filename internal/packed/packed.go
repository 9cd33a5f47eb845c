// Package packed unpacks a snapshot file, however it is stored.
package packed

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

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

// Unpack writes the snapshot file in f, whatever its form, to a file at its position. If f is
// damaged, it writes what comes before the damage and returns a *[DamagedError]. Other errors
// say nothing about the content of f; a *[WriteError] is one of writing.
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
	return unpackFrom(ctx, to, from, size, true)
}

// Decompress is [UnpackFrom], but leaves an archive as it is: whatever is damaged in it, all that
// it holds is in there, as it was.
func Decompress(ctx context.Context, to io.Writer, from io.Reader, size int64) error {
	return unpackFrom(ctx, to, from, size, false)
}

func unpackFrom(ctx context.Context, to io.Writer, from io.Reader, size int64, archives bool) error {
	in := input.NewSource(ctx, from)
	out := &systemWriter{to: to}
	form, err := unpack(out, in, archives)
	var memory *input.MemoryError
	switch {
	case err == nil:
		return nil
	case in.Err != nil:
		return in.Err
	case out.err != nil:
		return &WriteError{out.err}
	case errors.As(err, &memory):
		return err
	}
	damaged := &DamagedError{Form: form, Err: err}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		damaged.Size = size
	}
	return damaged
}

// unpack unpacks nested forms, and returns the innermost one, or the one that is damaged.
func unpack(to io.Writer, from io.Reader, archives bool) (form Form, err error) {
	type layer struct {
		form Form
		io.ReadCloser
	}
	var layers []layer // compressed, the outermost first
	defer func() {
		for _, l := range slices.Backward(layers) {
			// The checksum is at the end, after all that a layer within it reads.
			if err == nil {
				form = l.form
				_, err = io.Copy(io.Discard, l)
			}
			_ = l.Close()
		}
	}()
	for {
		in := bufio.NewReaderSize(from, 64<<10)
		// If it is damaged so early, what comes before the damage counts.
		start, err := in.Peek(input.StartLen)
		if len(start) == 0 && err != nil && !errors.Is(err, io.EOF) {
			return form, err
		}
		switch found := formOf(start); {
		case found == Gzip || found == Zstd:
			form = found
			z, err := NewReader(input.FormatOf(start), in)
			if err != nil {
				return form, err
			}
			layers = append(layers, layer{form, z})
			from = z
		case found == Tar && archives:
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

// WriteError is an error of writing what was unpacked. It reads like Err.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// Bounded passes on at most Left bytes. A write of more fails with Full.
type Bounded struct {
	To   io.Writer
	Left int64
	Full error
}

func (b *Bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.Left {
		return 0, b.Full
	}
	n, err := b.To.Write(p)
	b.Left -= int64(n)
	return n, err
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
