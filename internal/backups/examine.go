package backups

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/packed"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// ExamineOptions are the options of [Examine].
type ExamineOptions struct {
	Now    time.Time // the clock, against which times are in doubt
	Memory *snapshot.Memory
	// Scratch is an existing folder for unpacked data, on a disk with enough space; "" for the
	// system's folder for temporary files. Close removes what was put there.
	Scratch string
	// UnpackTo, unless it is "", is a path at which nothing exists. The content of the backup, a
	// snapshot file or the folder of a database, is unpacked or copied to it, and examined there.
	// It stays there, whatever the verdict.
	UnpackTo string
	// DigestsAt as in [content.SnapshotsOptions].
	DigestsAt []int64
	Progress  func(int64) // bytes of a snapshot file, or records of a database, that were read
}

// Examined is a backup that was read to its end. It must be closed.
type Examined struct {
	Path string
	Kind Kind
	Form Form // by its content, whatever its name says
	// Verdict is Wrong for a backup that a node could not use: it cannot be unpacked, or its
	// content does not verify. Err says why, or why the backup could not be read; its text does
	// not name the path.
	Verdict State
	Err     error
	Size    int64  // of the file, 0 for a folder
	SHA256  string // of the file, "" for a folder, or if the file could not be read to its end
	MTime   time.Time

	// The content, by kind, as far as it could be read, also of a wrong backup; nil if there is
	// none.
	Snapshots *content.Snapshots
	Database  *content.Database
	// Unpacked is the file or folder with the unpacked content, or Path itself if it is not packed.
	// It is "" for a snapshot file that was unpacked to a file without a name.
	Unpacked string

	closers []func() error
}

// Examine reads one backup to its end, whatever its form and name: a file, compressed or not,
// an archive, or a folder. Its first bytes decide its form. A backup that is wrong or cannot be
// read is not an error: see Verdict. The only error is the context's.
func Examine(ctx context.Context, path string, kind Kind, o ExamineOptions) (*Examined, error) {
	e := &Examined{Path: path, Kind: kind}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() && kind == Database {
		e.Form = Folder
		return e.concluded(ctx, e.folder(ctx, o))
	}
	var f *os.File
	if err == nil {
		f, err = durable.OpenRegular(path, os.O_RDONLY)
	}
	if err != nil {
		return e.concluded(ctx, err)
	}
	e.closers = append(e.closers, f.Close)
	return e.concluded(ctx, e.file(ctx, f, o))
}

// ExamineFile is [Examine] for a regular file that is already open, and stays open.
func ExamineFile(ctx context.Context, f *os.File, kind Kind, o ExamineOptions) (*Examined, error) {
	e := &Examined{Path: f.Name(), Kind: kind}
	return e.concluded(ctx, e.file(ctx, f, o))
}

// Close releases its resources, and removes what was unpacked to Scratch.
func (e *Examined) Close() error {
	var err error
	for i := len(e.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, e.closers[i]())
	}
	e.closers = nil
	return err
}

// wrongError is why a backup is wrong, with its own text.
type wrongError struct {
	why string
	err error // the cause, nil for none
}

func (e *wrongError) Error() string { return e.why }
func (e *wrongError) Unwrap() error { return e.err }

// concluded sets the verdict by an error.
func (e *Examined) concluded(ctx context.Context, err error) (*Examined, error) {
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), e.Close())
	}
	e.Verdict, e.Err = verdictOf(err), err
	return e, nil
}

// verdictOf distinguishes a backup that is wrong from one that could not be read.
func verdictOf(err error) State {
	var wrong *wrongError
	var damagedFile *packed.DamagedError
	var damaged *archive.DamagedError
	var refused *archive.RefusedError
	switch {
	case err == nil:
		return Sound
	case errors.As(err, &wrong), errors.As(err, &damagedFile), errors.As(err, &damaged), errors.As(err, &refused),
		errors.Is(err, archive.ErrNoArchive), errors.Is(err, reorgdb.ErrNoDatabase), errors.Is(err, reorgdb.ErrCorrupt):
		return Wrong
	}
	return CouldNot
}

// file examines a regular file.
func (e *Examined) file(ctx context.Context, f *os.File, o ExamineOptions) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	e.Size, e.MTime = info.Size(), info.ModTime().UTC()
	if e.Kind == Database {
		return e.archive(ctx, f, o)
	}
	return e.snapshots(ctx, f, o)
}

func (e *Examined) snapshots(ctx context.Context, f *os.File, o ExamineOptions) error {
	form, err := packed.FormOf(f)
	if err != nil {
		return err
	}
	e.Form = Form(form)
	plain, damaged, err := e.plain(ctx, f, form, o)
	if err != nil {
		return err
	}
	info, err := plain.Stat()
	if err != nil {
		return err
	}
	s, err := content.ReadSnapshots(ctx, plain, info.Size(), content.SnapshotsOptions{Now: o.Now, Memory: o.Memory, TempDir: o.Scratch,
		Progress: o.Progress, DigestsAt: append([]int64{info.Size()}, o.DigestsAt...)})
	if err != nil {
		return err
	}
	e.Snapshots = s
	e.closers = append(e.closers, s.Close)
	if form == packed.Plain {
		e.SHA256, _ = s.PrefixSHA256(info.Size())
	}
	switch {
	case damaged != nil:
		return damaged
	case s.Latest == nil:
		return &wrongError{why: "no complete snapshot"}
	case !s.LatestValid():
		return &wrongError{why: LatestVerdict(s)}
	}
	return nil
}

// LatestVerdict says what is wrong with the latest snapshot of a file, such as "snapshot
// 1203: root mismatch".
func LatestVerdict(s *content.Snapshots) string {
	verdict := strings.TrimPrefix(string(s.Latest.Verdict), "state ")
	if verdict == "" {
		verdict = "it has a line that is too long to read"
	}
	return fmt.Sprintf("snapshot %d: %s", s.Latest.Number, verdict)
}

// plain returns a file with the unpacked snapshots. damaged says why they could not be unpacked
// to the end.
func (e *Examined) plain(ctx context.Context, f *os.File, form packed.Form, o ExamineOptions) (plain *os.File, damaged, err error) {
	if form == packed.Plain && o.UnpackTo == "" {
		e.Unpacked = e.Path
		return f, nil, nil
	}
	if o.UnpackTo != "" {
		plain, err = os.OpenFile(o.UnpackTo, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		e.Unpacked = o.UnpackTo
	} else {
		plain, err = durable.Unnamed(filepath.Join(scratchOf(o), "ailee"))
	}
	if err != nil {
		return nil, nil, err
	}
	e.closers = append(e.closers, plain.Close)
	if form == packed.Plain {
		err = packed.Unpack(ctx, plain, f)
	} else {
		var room int64
		if room, err = roomFor(plain, o); err != nil {
			return nil, nil, err
		}
		hashed := newHashed(f)
		err = packed.UnpackFrom(ctx, &packed.Bounded{To: plain, Left: room, Full: noRoom(plain.Name())}, hashed, e.Size)
		if sumErr := e.setSum(ctx, hashed); err == nil {
			err = sumErr
		}
	}
	if verdictOf(err) == Wrong {
		return plain, err, nil
	}
	return plain, nil, err
}

func scratchOf(o ExamineOptions) string {
	if o.Scratch == "" {
		return os.TempDir()
	}
	return o.Scratch
}

// hashed hashes a file while it is read.
type hashed struct {
	io.Reader
	sum hash.Hash
}

func newHashed(f *os.File) *hashed {
	sum := sha256.New()
	return &hashed{io.TeeReader(io.NewSectionReader(f, 0, math.MaxInt64), sum), sum}
}

// setSum reads the rest of the file, and sets the digest.
func (e *Examined) setSum(ctx context.Context, h *hashed) error {
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := h.Read(buf)
		if errors.Is(err, io.EOF) {
			e.SHA256 = hex.EncodeToString(h.sum.Sum(nil))
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// archive examines the archive of a database.
func (e *Examined) archive(ctx context.Context, f *os.File, o ExamineOptions) error {
	switch form, err := packed.FormOf(f); {
	case err != nil:
		return err
	case form == packed.Gzip:
		e.Form = TarGz
	case form == packed.Zstd:
		e.Form = TarZst
	default:
		e.Form = Tar
	}
	if err := e.makeFolder(o); err != nil {
		return err
	}
	to, err := os.OpenRoot(e.Unpacked)
	if err != nil {
		return err
	}
	defer to.Close()
	folder, err := to.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close()
	limit, err := roomFor(folder, o)
	if err != nil {
		return err
	}
	h := newHashed(f)
	_, err = archive.Unpack(ctx, h, to, archive.Limits{Members: archive.MaxMembers, Bytes: limit})
	var damaged *archive.DamagedError
	var refused *archive.RefusedError
	switch {
	case errors.As(err, &damaged) && errors.Is(err, io.ErrUnexpectedEOF):
		err = &wrongError{fmt.Sprintf("ends after %d bytes", e.Size), err}
	case errors.As(err, &refused) && refused.Limit:
		err = noRoom(e.Unpacked)
	}
	if verdictOf(err) == CouldNot {
		return err
	}
	if sumErr := e.setSum(ctx, h); sumErr != nil {
		return sumErr
	}
	readErr := e.database(ctx, o)
	if err != nil {
		return err // even if the database could be read
	}
	return readErr
}

// reserve is how much space unpacking leaves free on a disk, in bytes, for a node that writes
// to it.
const reserve = 64 << 20

// roomFor returns how many bytes may be unpacked to the file system of a file. Data that is to
// stay there may take all of the free space.
func roomFor(f *os.File, o ExamineOptions) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	room := int64(stat.Bavail) * stat.Bsize
	if o.UnpackTo == "" {
		room -= reserve
	}
	return max(0, room), nil
}

// noRoom is the error for data that takes more than [roomFor] allows.
func noRoom(path string) error {
	return &os.PathError{Op: "unpack to", Path: path, Err: unix.ENOSPC}
}

// makeFolder makes the folder that a database is unpacked to.
func (e *Examined) makeFolder(o ExamineOptions) (err error) {
	if e.Unpacked = o.UnpackTo; e.Unpacked != "" {
		return os.Mkdir(e.Unpacked, 0o700)
	}
	if o.Scratch == "" {
		scratch, err := durable.NewScratch(".ailee-backup-")
		if err != nil {
			return err
		}
		e.closers = append(e.closers, scratch.Remove)
		e.Unpacked = filepath.Join(scratch.Path, archive.Top)
		return os.Mkdir(e.Unpacked, 0o700)
	}
	if e.Unpacked, err = os.MkdirTemp(o.Scratch, "examined-"); err != nil {
		return err
	}
	e.closers = append(e.closers, func() error { return os.RemoveAll(e.Unpacked) })
	return nil
}

// folder examines the folder of a database.
func (e *Examined) folder(ctx context.Context, o ExamineOptions) error {
	e.Unpacked = e.Path
	if o.UnpackTo != "" {
		if err := copyFolder(ctx, e.Path, o.UnpackTo); err != nil {
			return err
		}
		e.Unpacked = o.UnpackTo
	}
	return e.database(ctx, o)
}

// copyFolder copies the regular files of a database, except for those that are left out.
func copyFolder(ctx context.Context, from, to string) error {
	root, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if LeftOut(entry.Name()) {
			continue
		}
		if err := copyFile(ctx, root, entry.Name(), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(ctx context.Context, root *os.Root, name, to string) (err error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &wrongError{fmt.Sprintf("%q is not a regular file", name), durable.ErrNotRegular}
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return durable.CopyRange(ctx, out, f, 0, info.Size(), func(int64) {})
}

// LeftOut reports whether a file in the folder of a database is left out of backups: its LOCK,
// and RocksDB's text logs.
func LeftOut(name string) bool {
	return name == "LOCK" || name == "LOG" || strings.HasPrefix(name, "LOG.old")
}

// database reads the database that was unpacked.
func (e *Examined) database(ctx context.Context, o ExamineOptions) error {
	d, err := content.ReadDatabase(ctx, e.Unpacked, content.DatabaseOptions{Now: o.Now, TempDir: o.Scratch, Progress: o.Progress})
	if errors.Is(err, reorgdb.ErrNoDatabase) {
		return &wrongError{"it holds no database", err}
	}
	if err != nil {
		return err
	}
	e.Database = d
	e.closers = append(e.closers, d.Close)
	if d.Damaged() {
		return &wrongError{why: FirstProblem(d)}
	}
	return nil
}

// FirstProblem returns the first problem of a damaged database.
func FirstProblem(d *content.Database) string {
	for _, p := range d.Problems {
		if p.Lost || p.Stale {
			return p.String()
		}
	}
	if d.Unopened != nil {
		text := d.Unopened.Error()
		if _, why, ok := strings.Cut(text, reorgdb.ErrCorrupt.Error()+": "); ok {
			return why // without the path
		}
		return text
	}
	return ""
}
