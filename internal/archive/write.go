package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/packed"
)

// Member is a file in an archive.
type Member struct {
	Name   string // with slashes, relative to the top of the archive
	Size   int64
	SHA256 [sha256.Size]byte
}

// Compression is how an archive is compressed.
type Compression string

// The compressions.
const (
	None Compression = ""
	Gzip Compression = input.Gzip
	Zstd Compression = input.Zstd
)

// WriteOptions are the options of [Write].
type WriteOptions struct {
	// Top is the name of the folder in the archive.
	Top         string
	UID, GID    int // owner of all members
	Compression Compression
	// Omit reports whether a file is left out, by its name. nil leaves none out.
	Omit func(name string) bool
	// Progress, unless nil, is called with the number of bytes that were read.
	Progress func(int64)
}

// madeAt is the time of everything in an archive. It is not the epoch, since GNU tar warns about
// implausibly old times.
var madeAt = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// Modes of the members of an archive: those with which the tools make a database.
const (
	fileMode   = 0o640
	folderMode = 0o750
)

// copyBuffer is how much is copied at a time.
const copyBuffer = 256 << 10

// Write packs the regular files and the folders in a folder, in the order of their names. The
// folder must not change meanwhile. Equal files give equal bytes: times, modes and owners are the
// same for all. Anything else in the folder is an error that wraps [durable.ErrNotRegular]. Write
// returns the files in the order of the archive.
func Write(ctx context.Context, w io.Writer, folder string, o WriteOptions) (members []Member, err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	compressed, err := compress(w, o.Compression)
	if err != nil {
		return nil, err
	}
	p := &packing{ctx: ctx, root: root, o: o, tar: tar.NewWriter(compressed), buf: make([]byte, copyBuffer)}
	err = fs.WalkDir(root.FS(), ".", p.add)
	if err == nil {
		err = p.tar.Close()
	}
	return p.members, errors.Join(err, compressed.Close())
}

func compress(w io.Writer, how Compression) (io.WriteCloser, error) {
	switch how {
	case Gzip:
		return gzip.NewWriter(w), nil
	case Zstd:
		return zstd.NewWriter(w, zstd.WithWindowSize(windowSize))
	}
	return uncompressed{w}, nil
}

// windowSize bounds the memory that packing and unpacking with zstd take.
const windowSize = 4 << 20

type uncompressed struct{ io.Writer }

func (uncompressed) Close() error { return nil }

// packing is an archive that is being written.
type packing struct {
	ctx     context.Context
	root    *os.Root
	o       WriteOptions
	tar     *tar.Writer
	buf     []byte
	members []Member
}

func (p *packing) add(name string, entry fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case p.ctx.Err() != nil:
		return p.ctx.Err()
	case entry.IsDir():
		return p.tar.WriteHeader(p.header(path.Join(p.o.Top, name)+"/", tar.TypeDir, folderMode, 0))
	case p.o.Omit != nil && p.o.Omit(name):
		return nil
	}
	f, err := p.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "pack", Path: f.Name(), Err: durable.ErrNotRegular}
	}
	m := Member{Name: path.Join(p.o.Top, name), Size: info.Size()}
	if err := p.tar.WriteHeader(p.header(m.Name, tar.TypeReg, fileMode, m.Size)); err != nil {
		return err
	}
	sum := sha256.New()
	for left := m.Size; left > 0; {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		part := p.buf[:min(int64(len(p.buf)), left)]
		if _, err := io.ReadFull(f, part); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		sum.Write(part)
		if _, err := p.tar.Write(part); err != nil {
			return err
		}
		left -= int64(len(part))
		if p.o.Progress != nil {
			p.o.Progress(int64(len(part)))
		}
	}
	m.SHA256 = [sha256.Size]byte(sum.Sum(nil))
	p.members = append(p.members, m)
	return nil
}

func (p *packing) header(name string, kind byte, mode, size int64) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Mode: mode, Size: size, Uid: p.o.UID, Gid: p.o.GID, ModTime: madeAt, Format: tar.FormatGNU}
}

// ErrNotWhatWasPacked says that an archive does not hold what was packed.
var ErrNotWhatWasPacked = errors.New("it does not hold what was packed")

// Compare reads an archive that [Write] made, and checks that it has exactly the files that were
// packed. The error wraps [ErrNotWhatWasPacked], or is the context's or one of reading.
func Compare(ctx context.Context, r io.Reader, how Compression, packed []Member) error {
	in := input.NewSource(ctx, r)
	err := compare(in, how, packed)
	switch {
	case err == nil:
		return nil
	case in.Err != nil:
		return in.Err
	}
	return fmt.Errorf("%w: %w", ErrNotWhatWasPacked, err)
}

func compare(r io.Reader, how Compression, packed []Member) error {
	in, err := decompress(r, how)
	if err != nil {
		return err
	}
	defer in.Close()
	buf := make([]byte, copyBuffer)
	sum := sha256.New()
	for t := tar.NewReader(in); ; {
		head, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && len(packed) > 0:
			return fmt.Errorf("%s is missing", packed[0].Name)
		case errors.Is(err, io.EOF):
			// The compressed data ends with a checksum.
			_, err := io.CopyBuffer(io.Discard, in, buf)
			return err
		case err != nil:
			return err
		case head.Typeflag == tar.TypeDir:
			continue
		case len(packed) == 0 || head.Typeflag != tar.TypeReg || head.Name != packed[0].Name || head.Size != packed[0].Size:
			return fmt.Errorf("%q is not what was packed", head.Name)
		}
		sum.Reset()
		if _, err := io.CopyBuffer(sum, t, buf); err != nil {
			return err
		}
		if !bytes.Equal(sum.Sum(nil), packed[0].SHA256[:]) {
			return fmt.Errorf("%s has different content", head.Name)
		}
		packed = packed[1:]
	}
}

func decompress(r io.Reader, how Compression) (io.ReadCloser, error) {
	if how == None {
		return io.NopCloser(r), nil
	}
	return packed.NewReader(input.FormatNamed(string(how)), r)
}
