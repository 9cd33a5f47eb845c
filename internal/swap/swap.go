// Package swap replaces a file while other programs append to it, rename over it or copy over
// it, and loses nothing that they write.
//
// A node opens FILE by its name for appending, writes a snapshot in several pieces, and
// closes it. It takes no lock. For each file that a node may have found under the name, the
// kernel tells whether a process has it open for writing (F_SETLEASE), and keeps a writer
// waiting in open(2) while a lease is held. The steps have these names in the code and in the
// model (model/swap.pml), which is checked exhaustively:
//
//	LOCK        lock the folder until the end: one run at a time
//	FINISH      complete what killed runs left, the newest first
//	PLAN        read FILE, and decide what to copy of it
//	COPY        copy that to a temporary file, sync and check it
//	LEASE-OLD   take a lease on FILE: now no process writes to it
//	SAME-FILE   check that the name still leads to that inode
//	SAME-BYTES  check that what was planned is still there; else PLAN
//	TAIL        copy what was appended since
//	LEASE-NEW   take a lease on the temporary file; if a writer waits, it goes first:
//	            LEASE-OLD
//	NAME        give the temporary file its second name, which says what is to be done,
//	            wherever a run is killed; SAME-FILE
//	EXCHANGE    exchange the second name and FILE
//	VERIFY      check that the second name leads to the old file; else BACK
//	DRAIN       bring over what the old file has and the new one lacks:
//	LET-THROUGH   let a process write that waits to write to the old file
//	CARRY         append that to the new file, which no other process can open yet,
//	RECORD        and record it in the second name
//	INSERT        or, if others have appended to the new file, put it in front of that,
//	              in another new file, which is brought in by LEASE-OLD to REMOVE
//	RELEASE-NEW let the new file be opened
//	WATCH       watch for writers that found the old file by its name, but have not opened
//	            it yet: let them through, and DRAIN
//	REMOVE      remove the second name
//	BACK        the second name leads to a file that another program put in the place of
//	            FILE, or wrote over it, meanwhile: make it FILE again with LEASE-DISPLACED,
//	            RECORD-BACK and EXCHANGE-BACK, and DRAIN the file that was FILE for a moment
//	STILL-HELD  what was read under a lease counts only if the lease is held afterwards
package swap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/lease"
)

const (
	// writerWait is how long a writer may take for one snapshot.
	writerWait = 30 * time.Second
	// DefaultWatch is how long the old file is watched after its last writer.
	DefaultWatch = 2 * time.Second
	// planTries is how many times to plan if FILE changes other than by growing.
	planTries = 3
	// giveWays is how many times a waiting writer goes first.
	giveWays = 10
	// catchUpRounds is how many times to copy what was appended before writers have to wait.
	catchUpRounds = 10
	// compareRounds is how many times SAME-BYTES gives way to writers and starts again. After
	// that they wait, but for no longer than compareWait.
	compareRounds = 3
	compareWait   = 5 * time.Second
	// completeHint is for errors after EXCHANGE.
	completeHint = "run the command again to complete it"
)

// ErrChanged says that FILE was changed, other than by growing, or replaced.
var ErrChanged = errors.New("changed while it was being read")

// Piece is a range of the old file that the new one has: Size bytes, at Offset in the old file
// and at At in the new one.
type Piece struct{ Offset, Size, At int64 }

// Content makes the content of the new file.
type Content interface {
	// Plan reads FILE and decides what to copy. It returns false if FILE is to stay as it is.
	Plan(ctx context.Context, old *os.File) (bool, error)
	// Copy writes what was planned to the new file, which is empty. The error wraps
	// [ErrChanged] if FILE is no longer what was planned with.
	Copy(ctx context.Context, to, old *os.File) error
	// Check reads the new file back.
	Check(ctx context.Context, to, old *os.File) error
	// Tail appends to the new file what the old one has, in its first size bytes, after what
	// was copied so far, and returns how much that was.
	Tail(ctx context.Context, to, old *os.File, size int64) (int64, error)
	// Pieces returns what the new file has of the old one so far, in the order of the new one.
	Pieces() []Piece
}

// Run is one run that replaces a file. Not safe for concurrent use.
type Run struct {
	// Carried is how many bytes were carried over after an exchange.
	Carried int64

	path   string
	base   string
	folder *os.File
	file   *os.File // what was FILE at the beginning, locked for earlier versions
	watch  time.Duration
	warn   func(format string, args ...any)
	open   map[uint64]*file // by inode: files that stay leased beyond a step
	back   bool             // a file that another program put in the place of FILE was put back
	known  map[uint64]bool  // inodes of second names that this run made, or has warned about
}

// file is an open file and the lease on it.
type file struct {
	*os.File
	*lease.Lease
	inode uint64
	alone bool
}

// Lock is LOCK: it starts a run and locks the folder of the file. watch is the length of WATCH.
// The error wraps [durable.ErrBusy] if another run has the lock.
func Lock(path string, watch time.Duration, warn func(format string, args ...any)) (*Run, error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	r := &Run{path: path, base: filepath.Base(path), folder: folder, watch: watch, warn: warn, open: map[uint64]*file{}, known: map[uint64]bool{}}
	if err := r.lock(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Run) lock() error {
	if err := r.lockOne(r.folder); err != nil {
		return err
	}
	// Earlier versions lock FILE. Its inode may change until it is locked.
	for {
		f, err := r.openFile(r.base, unix.O_RDONLY)
		if err != nil {
			return err
		}
		r.file = f.File
		if err := r.lockOne(f.File); err != nil {
			return err
		}
		if now, err := r.leadsTo(r.base); err != nil || now == f.inode {
			return err
		}
		if err := durable.Unlock(f.File); err != nil {
			return err
		}
	}
}

func (r *Run) lockOne(f *os.File) error {
	err := durable.Lock(f)
	if errors.Is(err, durable.ErrBusy) {
		return fmt.Errorf("%s: %w%s", r.path, durable.ErrBusy, lease.Locker(f))
	}
	return err
}

// Close ends the run.
func (r *Run) Close() error {
	err := r.releaseAll(0)
	if r.file != nil {
		err = errors.Join(err, durable.Unlock(r.file))
	}
	return errors.Join(err, r.folder.Close())
}

// Replace replaces FILE. If it returns no error, nothing is left to do, and FILE is the new
// file, or the old one if the plan says so.
func (r *Run) Replace(ctx context.Context, c Content) error {
	for try := 1; ; try++ {
		r.back = false
		err := r.replace(ctx, c)
		if err == nil {
			// From here on the work is completed, even when interrupted.
			err = r.Finish(context.WithoutCancel(ctx))
		}
		if err == nil && r.back {
			err = fmt.Errorf("%s: %w", r.path, ErrChanged)
		}
		if !errors.Is(err, ErrChanged) {
			return err
		}
		if try == planTries {
			return exit.Fail("find out what rewrites it, and run the command again", err) // the file was rewritten meanwhile, and not only appended to
		}
	}
}

// replace goes from PLAN to EXCHANGE.
func (r *Run) replace(ctx context.Context, c Content) error {
	// PLAN
	old, err := r.openFile(r.base, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer r.closeUnlessKept(old)
	if err := r.refuse(old.File); err != nil {
		return err
	}
	if wanted, err := c.Plan(ctx, old.File); err != nil || !wanted {
		return err
	}
	// Find out before the work whether a lease is available.
	if _, err := old.Try(); err != nil {
		return explain(err)
	}
	if err := old.GiveBack(); err != nil {
		return err
	}
	return r.copyAndBringIn(ctx, c, old)
}

func (r *Run) copyAndBringIn(ctx context.Context, c Content, old *file) error {
	// COPY
	tmp, err := durable.Create(r.path, 0o600)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			tmp.Abort()
		}
	}()
	if err := c.Copy(ctx, tmp.File, old.File); err != nil {
		return err
	}
	if err := appendOnly(tmp.File); err != nil {
		return err
	}
	if err := keepAttributes(tmp.File, old.File); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return exit.Fail("", err)
	}
	if err := c.Check(ctx, tmp.File, old.File); err != nil {
		return err
	}
	if err := r.catchUp(ctx, c, tmp.File, old.File); err != nil {
		return err
	}
	n, fresh, err := r.bringIn(ctx, c, old, tmp)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	kept = true
	_ = durable.Lock(old.File) // the monitor looks for this lock
	r.open[old.inode], r.open[fresh.inode] = old, fresh
	return r.exchange(n, old)
}

// catchUp copies what was appended since, and syncs, until little is missing, while no writer
// has to wait. If writers are faster, the rest is copied while they wait.
func (r *Run) catchUp(ctx context.Context, c Content, to, old *os.File) error {
	for range catchUpRounds {
		size, err := sizeOf(old)
		if err != nil {
			return err
		}
		n, err := c.Tail(ctx, to, old, size)
		if err != nil {
			return err
		}
		if err := to.Sync(); err != nil {
			return exit.Fail("", err)
		}
		if n < 1<<20 {
			return nil
		}
	}
	return nil
}

// bringIn goes from LEASE-OLD to LEASE-NEW, until the new file has everything in the old one
// and the leases are held.
func (r *Run) bringIn(ctx context.Context, c Content, old *file, tmp *durable.Pending) (n *second, fresh *file, err error) {
	fresh, err = newFile(tmp.File, lease.Alone(tmp.File))
	if err != nil {
		return nil, nil, err
	}
	fresh.alone = true
	rounds, gaveWay := 0, 0
	for {
		// LEASE-OLD
		if err := old.Take(ctx, writerWait, r.patience); err != nil {
			return nil, nil, explain(err)
		}
		// SAME-FILE
		if now, err := r.leadsTo(r.base); err != nil || now != old.inode {
			return nil, nil, changed(r.path, err)
		}
		// SAME-BYTES
		waited, same, err := r.sameBytes(ctx, c.Pieces(), old, tmp.File, rounds < compareRounds)
		if err != nil {
			return nil, nil, err
		}
		if !same {
			rounds++
			continue
		}
		// TAIL
		size, held, err := tail(ctx, c, tmp.File, old)
		if err != nil {
			return nil, nil, err
		}
		// LEASE-NEW
		if taken, err := fresh.Try(); err != nil {
			return nil, nil, explain(err)
		} else if !taken {
			return nil, nil, exit.Failf("find out what opens it, and run the command again", "%s: another process has it open", tmp.Name())
		}
		if held && !waited && gaveWay < giveWays {
			alone, err := old.Try()
			if err != nil {
				return nil, nil, explain(err)
			}
			if !alone {
				held, gaveWay = false, gaveWay+1
			}
		}
		if !held {
			if err := errors.Join(fresh.GiveBack(), old.GiveBack()); err != nil {
				return nil, nil, err
			}
			continue
		}
		n, err := r.nameFor(old, fresh, size)
		return n, fresh, err
	}
}

// tail is TAIL, under the lease on the old file. It returns the size of the old file; held is
// STILL-HELD. It compares what it appends, as SAME-BYTES does with the rest.
func tail(ctx context.Context, c Content, to *os.File, old *file) (size int64, held bool, err error) {
	if size, err = sizeOf(old.File); err != nil {
		return 0, false, err
	}
	before := len(c.Pieces())
	n, err := c.Tail(ctx, to, old.File, size)
	if err != nil {
		return 0, false, err
	}
	if n > 0 {
		if err := to.Sync(); err != nil {
			return 0, false, exit.Fail("", err)
		}
		if same, err := compare(ctx, c.Pieces()[before:], old.File, to, func() error { return nil }); err != nil || !same {
			return 0, false, changed(old.Name(), err)
		}
	}
	if err := keepAttributes(to, old.File); err != nil {
		return 0, false, err
	}
	held, err = old.Held()
	return size, held, err
}

// errWriter says that a writer waits.
var errWriter = errors.New("a writer waits")

// sameBytes is SAME-BYTES: it checks that the new file's pieces are what the old one has, under
// the lease on the old file. With giveWay a waiting writer goes first, and same is false.
// Otherwise waited reports whether a writer had to wait.
func (r *Run) sameBytes(ctx context.Context, pieces []Piece, old *file, to *os.File, giveWay bool) (waited, same bool, err error) {
	var since time.Time
	same, err = compare(ctx, pieces, old.File, to, func() error {
		alone, err := old.Try()
		switch {
		case err != nil:
			return err
		case alone:
			return nil
		case giveWay:
			return errWriter
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > compareWait:
			return exit.Failf("run the command again when the node is less busy, or stop it",
				"%s: writers come too often: comparing takes longer than they can be kept waiting", r.path)
		}
		return nil
	})
	switch {
	case errors.Is(err, errWriter):
		return false, false, old.GiveBack()
	case err == nil && !same:
		err = fmt.Errorf("%s: %w", r.path, ErrChanged)
	}
	return !since.IsZero(), same, err
}

// compare reports whether the new file has the pieces of the old one. It calls each for every
// megabyte.
func compare(ctx context.Context, pieces []Piece, old, to *os.File, each func() error) (bool, error) {
	const step = 1 << 20
	a, b := make([]byte, step), make([]byte, step)
	for _, p := range pieces {
		for done := int64(0); done < p.Size; done += step {
			if err := errors.Join(ctx.Err(), each()); err != nil {
				return false, err
			}
			n := min(step, p.Size-done)
			if _, err := old.ReadAt(a[:n], p.Offset+done); err != nil {
				return false, notAtEnd(err)
			}
			if _, err := to.ReadAt(b[:n], p.At+done); err != nil {
				return false, notAtEnd(err)
			}
			if string(a[:n]) != string(b[:n]) {
				return false, nil
			}
		}
	}
	return true, nil
}

// notAtEnd ignores the end of a file: a shorter file is a difference, not an error.
func notAtEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// nameFor returns the second name for the exchange.
func (r *Run) nameFor(old, fresh *file, size int64) (*second, error) {
	at, err := sizeOf(fresh.File)
	if err != nil {
		return nil, err
	}
	n := &second{kind: oldKind, leads: fresh.inode, src: old.inode, from: size, dst: fresh.inode, at: at}
	if n.gs, err = digest(old.File, size); err != nil {
		return nil, err
	}
	n.gd, err = digest(fresh.File, at)
	return n, err
}

// exchange is NAME and EXCHANGE. FINISH does VERIFY.
func (r *Run) exchange(n *second, old *file) error {
	name := r.temporary()
	undo := func(err error) error {
		return errors.Join(err, r.releaseAll(0), r.remove(name))
	}
	// NAME
	if err := r.rename(name, n.name(r.base), unix.RENAME_NOREPLACE); err != nil {
		return undo(noExchange(r.path, err))
	}
	name = n.name(r.base)
	if now, err := r.leadsTo(r.base); err != nil || now != old.inode {
		return undo(changed(r.path, err))
	}
	// EXCHANGE
	r.known[n.src], r.known[n.dst] = true, true
	if err := r.rename(n.name(r.base), r.base, unix.RENAME_EXCHANGE); err != nil {
		return undo(noExchange(r.path, err))
	}
	return nil
}

// noExchange explains an error of exchanging names.
func noExchange(path string, err error) error {
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return exit.Fail(outputHint, fmt.Errorf("%s: this file system cannot exchange two files, and a file that is put in its place meanwhile would be lost: %w", path, err))
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EBUSY):
		return exit.Fail(outputHint, fmt.Errorf("%s is mounted by itself, so it cannot be replaced: %w", path, err))
	case errors.Is(err, fs.ErrNotExist):
		return changed(path, nil)
	}
	return err
}

func changed(path string, err error) error {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%s: %w", path, ErrChanged)
}

// explain adds a hint to the error of a lease that is not available.
func explain(err error) error {
	switch {
	case errors.Is(err, lease.ErrHeld):
		return exit.Fail("run it again when the writer is done, or stop it", err)
	case errors.Is(err, lease.ErrUnsupported):
		return exit.Fail("run it as the file's owner or as root; if the file system has no leases, stop the node and prune with --output", err)
	}
	return err
}

// patience gives back leases that a process has waited for too long.
func (r *Run) patience() error {
	for _, f := range r.open {
		held, err := f.Held()
		if err == nil && !held {
			err = f.GiveBack()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// releaseAll gives back and closes all open files except for one inode.
func (r *Run) releaseAll(except uint64) (err error) {
	for inode, f := range r.open {
		if inode != except {
			err = errors.Join(err, r.release(f))
		}
	}
	return err
}

func (r *Run) release(f *file) error {
	delete(r.open, f.inode)
	err := f.GiveBack()
	if closeErr := durable.Unlock(f.File); !errors.Is(closeErr, fs.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return err
}

func (r *Run) closeUnlessKept(f *file) {
	if r.open[f.inode] != f {
		_ = durable.Unlock(f.File)
	}
}

func newFile(f *os.File, l *lease.Lease) (*file, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return &file{File: f, Lease: l, inode: st.Ino}, nil
}

// openFile opens a regular file in the folder without following a link.
func (r *Run) openFile(name string, flags int) (*file, error) {
	path := filepath.Join(filepath.Dir(r.path), name)
	fd, err := unix.Openat(int(r.folder.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		if err = planted(path); name == r.base {
			err = fmt.Errorf("%s: %w", path, input.ErrNotSeekable)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := lease.Reading(f)
	if flags&unix.O_RDWR != 0 {
		l = lease.Alone(f)
	}
	opened, err := newFile(f, l)
	if err == nil {
		opened.alone = flags&unix.O_RDWR != 0
	}
	return opened, err
}

// leadsTo returns the inode that a name in the folder leads to.
func (r *Run) leadsTo(name string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(r.folder.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: filepath.Join(filepath.Dir(r.path), name), Err: err}
	}
	return st.Ino, nil
}

func (r *Run) rename(from, to string, flags uint) error {
	dir := int(r.folder.Fd())
	if err := unix.Renameat2(dir, from, dir, to, flags); err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(filepath.Dir(r.path), from), New: filepath.Join(filepath.Dir(r.path), to), Err: err}
	}
	return nil
}

func (r *Run) remove(name string) error {
	if err := unix.Unlinkat(int(r.folder.Fd()), name, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: filepath.Join(filepath.Dir(r.path), name), Err: err}
	}
	return nil
}

// temporary returns the temporary name that [durable.Create] uses for FILE.
func (r *Run) temporary() string { return "." + r.base + ".ailee-tmp" }

func (r *Run) pathOf(n *second) string {
	return filepath.Join(filepath.Dir(r.path), n.name(r.base))
}

func (r *Run) syncFolder() error {
	if err := r.folder.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", r.folder.Name(), err)
	}
	return nil
}

func sizeOf(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// appendOnly makes every write to f an append, even if others append to it.
func appendOnly(f *os.File) error {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_APPEND)
	}
	return err
}

func keepAttributes(to, old *os.File) error { return durable.KeepAttributes(to, old) }
