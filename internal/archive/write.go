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
)

// Member is a file that an archive holds.
type Member struct {
	Name   string // with slashes, from the top of the archive on
	Size   int64
	SHA256 [sha256.Size]byte
}

// Compression is what an archive is compressed with.
type Compression string

// The compressions.
const (
	None Compression = ""
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// WriteOptions are those of [Write].
type WriteOptions struct {
	// Top is the name of the folder in the archive.
	Top         string
	UID, GID    int // to whom all of it belongs
	Compression Compression
	// Omit tells which files are left out, by their name; nil: none.
	Omit func(name string) bool
	// Progress is told the bytes of the files that were read; nil: nobody is.
	Progress func(int64)
}

// madeAt is the time of everything in an archive: GNU tar wonders at earlier ones.
var madeAt = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// Modes of what is in an archive, as the tools make a database.
const (
	fileMode   = 0o640
	folderMode = 0o750
)

// copyBuffer is how much is copied at a time.
const copyBuffer = 256 << 10

// Write packs the regular files and the folders in a folder, which nobody changes
// meanwhile, in the order of their names. Equal files give equal bytes: times, modes and
// owners are the same for all. Anything else in the folder is an error that wraps
// [durable.ErrNotRegular]. It returns the files in the order of the archive.
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

// Compare reads an archive that [Write] made, and holds it against what was packed: each
// file of it, none missing and none more. The error wraps [ErrNotWhatWasPacked], or is the
// context's or one of reading.
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
			// The end of what is compressed has a checksum, too.
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
			return fmt.Errorf("%s has another content", head.Name)
		}
		packed = packed[1:]
	}
}

func decompress(r io.Reader, how Compression) (io.ReadCloser, error) {
	switch how {
	case Gzip:
		return gzip.NewReader(r)
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMemory))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// maxMemory bounds what decompressing takes, in bytes.
const maxMemory = 64 << 20
