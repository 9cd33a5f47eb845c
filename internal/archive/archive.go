// Package archive reads and writes the archives in which a reorg database is backed up: tar,
// plain or compressed with gzip or zstd, with the files of the database in reorg_db/, in
// ./reorg_db/, or at the top. The content of an archive is not trusted: it is unpacked only to
// the folder that the caller names, as regular files and folders, within limits.
package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"ailee-recovery/internal/input"
	"ailee-recovery/internal/packed"
)

// Top is the folder in an archive that has the files of the database, unless they are at the
// top.
const Top = "reorg_db"

// ErrNoArchive says that a file is not an archive that can be read.
var ErrNoArchive = errors.New("not a tar archive, plain or compressed with gzip or zstd")

// ErrRefused says that an archive has something that no archive of a database has, or too much.
var ErrRefused = errors.New("refused")

// RefusedError says why an archive is refused. It wraps [ErrRefused].
type RefusedError struct {
	Member string // as the archive names it, "" for the archive itself
	Why    string
	Limit  bool // with higher [Limits] it might be accepted
}

func (e *RefusedError) Error() string {
	if e.Member == "" {
		return e.Why
	}
	return fmt.Sprintf("member %q: %s", e.Member, e.Why)
}

func (e *RefusedError) Unwrap() error { return ErrRefused }

// DamagedError says where an archive ends too early or is damaged. What comes before that is
// unpacked, the last file perhaps only in part.
type DamagedError struct {
	Offset int64 // in the unpacked archive, in bytes
	Err    error
}

func (e *DamagedError) Error() string {
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("it ends after %d unpacked bytes", e.Offset)
	}
	return fmt.Sprintf("it is damaged after %d unpacked bytes: %s", e.Offset, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Limits bound what an archive may have.
type Limits struct {
	Members int   // number of files, folders and all other members
	Bytes   int64 // size of the uncompressed archive, and total size of all files in it
}

// MaxMembers is a value for [Limits.Members]: more than a database has files.
const MaxMembers = 1 << 17

// maxName bounds the name of a member, maxElement each of its parts, in bytes, as file systems
// do.
const maxName, maxElement = 4096, 255

// copyStep is how much is copied between two checks of the context, in bytes.
const copyStep = 256 << 10

// Unpacked says how much was unpacked.
type Unpacked struct {
	Files int
	Bytes int64
}

// Unpack writes the database in an archive to a folder, which must be empty. What is in [Top] in
// the archive, or at its top, is put at the top of the folder. Everything belongs to the user of
// the process, with modes 0600 and 0700, and nothing is synced. Memory does not grow with the
// archive. The archive is read to its end, and so checked as far as its format allows.
//
// The error is a *[RefusedError], a *[DamagedError], an *[input.MemoryError], wraps [ErrNoArchive]
// or the context's error, or is one of reading or writing files. After any error except a
// *[DamagedError] the content of the folder is useless.
func Unpack(ctx context.Context, in io.Reader, to *os.Root, limits Limits) (Unpacked, error) {
	u := &unpacking{ctx: ctx, to: to, limits: limits, raw: input.NewSource(ctx, in)}
	err := u.run()
	return u.done, err
}

// unpacking is an archive that is being unpacked.
type unpacking struct {
	ctx    context.Context
	to     *os.Root
	limits Limits
	raw    *input.Source
	stream *limited
	placed bool   // top is known
	top    string // the folder in the archive that has the files, "" for none
	done   Unpacked
}

func (u *unpacking) run() error {
	plain, compressed, err := u.plain()
	if err != nil {
		return u.classified(err)
	}
	defer plain.Close()
	u.stream = &limited{in: plain, left: u.limits.Bytes}
	members := tar.NewReader(u.stream)
	for n := 0; ; n++ {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		before := u.stream.read
		header, err := members.Next()
		switch {
		case n == 0 && u.raw.Err == nil && (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && !compressed):
			return ErrNoArchive
		case errors.Is(err, io.EOF) && u.stream.read-before < blockSize:
			// Without the block of zeros at the end, it may have been cut off.
			return u.damaged(io.ErrUnexpectedEOF)
		case errors.Is(err, io.EOF):
			return u.drain()
		case err != nil:
			return u.classified(err)
		case n >= u.limits.Members:
			return &RefusedError{Why: fmt.Sprintf("it has more than %d members", u.limits.Members)}
		}
		if err := u.member(header, members); err != nil {
			return err
		}
	}
}

// blockSize is the block size of tar.
const blockSize = 512

// plain returns the uncompressed archive, and whether it is compressed. The first bytes decide.
func (u *unpacking) plain() (archive io.ReadCloser, compressed bool, err error) {
	in := bufio.NewReaderSize(u.raw, 64<<10)
	start, err := in.Peek(input.FormatLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	format := input.FormatOf(start)
	switch {
	case format == nil:
		return io.NopCloser(in), false, nil
	case !format.Readable():
		return nil, true, &input.FormatError{Format: format, Err: ErrNoArchive}
	}
	archive, err = packed.NewReader(format, in)
	return archive, true, err
}

// classified distinguishes errors of reading the file from errors in its content.
func (u *unpacking) classified(err error) error {
	var refused *RefusedError
	var memory *input.MemoryError
	switch {
	case u.raw.Err != nil:
		return u.raw.Err
	case errors.As(err, &refused), errors.As(err, &memory), errors.Is(err, ErrNoArchive):
		return err
	case errors.Is(err, tar.ErrFieldTooLong):
		return &RefusedError{Why: "a member has a header that is too long"}
	}
	return u.damaged(err)
}

func (u *unpacking) damaged(err error) error {
	at := int64(0)
	if u.stream != nil {
		at = u.stream.read
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &DamagedError{Offset: at, Err: err}
}

// drain reads what comes after the end of the archive: in a compressed one, a checksum.
func (u *unpacking) drain() error {
	buf := make([]byte, copyStep)
	for {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		_, err := u.stream.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return u.classified(err)
		}
	}
}

// kinds names the types of members that no database has.
var kinds = map[byte]string{
	tar.TypeLink: "a hard link", tar.TypeSymlink: "a symbolic link", tar.TypeChar: "a device", tar.TypeBlock: "a device", tar.TypeFifo: "a pipe",
}

func (u *unpacking) member(header *tar.Header, content io.Reader) error {
	refuse := func(format string, args ...any) error {
		return &RefusedError{Member: header.Name, Why: fmt.Sprintf(format, args...)}
	}
	folder := false
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
	case tar.TypeDir:
		folder = true
	case tar.TypeXGlobalHeader:
		return nil // belongs to no file
	default:
		if what := kinds[header.Typeflag]; what != "" {
			return refuse("%s", what)
		}
		return refuse("of type %q, which no database has", header.Typeflag)
	}
	name, why := cleaned(header.Name)
	if why != "" {
		return refuse("%s", why)
	}
	if folder && (name == "." || name == Top && (!u.placed || u.top == Top)) {
		return nil
	}
	if !u.placed {
		u.placed = true
		if strings.HasPrefix(name, Top+"/") {
			u.top = Top
		}
	}
	below, inTop := strings.CutPrefix(name, Top+"/")
	if inTop != (u.top == Top) {
		return refuse("some members are in %s/ and others are not", Top)
	}
	if folder {
		return u.folder(below, refuse)
	}
	if name == "." {
		return refuse("not a file name")
	}
	if header.Size > u.limits.Bytes-u.done.Bytes {
		return &RefusedError{Member: header.Name, Why: fmt.Sprintf("the files have more than %d bytes", u.limits.Bytes), Limit: true}
	}
	return u.file(below, content, refuse)
}

// cleaned returns a name in its shortest form, or why it is refused.
func cleaned(name string) (clean, why string) {
	switch {
	case strings.HasPrefix(name, "/"):
		return "", "an absolute path"
	case len(name) > maxName:
		return "", "a name that is too long"
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "..":
			return "", "a path with .. in it"
		case len(element) > maxElement:
			return "", "a name that is too long"
		}
	}
	return path.Clean(name), ""
}

// folder makes a folder. A folder may be named twice, or after the files in it.
func (u *unpacking) folder(name string, refuse func(string, ...any) error) error {
	err := u.to.MkdirAll(name, 0o700)
	if isDoubled(err) {
		return refuse("a name that occurs twice")
	}
	return err
}

func isDoubled(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR)
}

func (u *unpacking) file(name string, content io.Reader, refuse func(string, ...any) error) (err error) {
	if dir := path.Dir(name); dir != "." {
		if err := u.folder(dir, refuse); err != nil {
			return err
		}
	}
	f, err := u.to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if isDoubled(err) {
		return refuse("a name that occurs twice")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	u.done.Files++
	buf := make([]byte, copyStep)
	for {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		n, readErr := content.Read(buf)
		written, err := f.Write(buf[:n])
		u.done.Bytes += int64(written)
		switch {
		case err != nil:
			return err
		case errors.Is(readErr, io.EOF):
			return nil
		case readErr != nil:
			return u.classified(readErr)
		}
	}
}

// limited ends with a *[RefusedError] if there is more to read than allowed.
type limited struct {
	in         io.Reader
	read, left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	l.read += int64(n)
	if l.left -= int64(n); l.left < 0 {
		return 0, &RefusedError{Why: fmt.Sprintf("it unpacks to more than %d bytes", l.read+l.left), Limit: true}
	}
	return n, err
}
