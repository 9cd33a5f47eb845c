package prunesnapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/lease"
	"ailee-recovery/snapshot"
)

// The swap. A node opens the file, appends one snapshot in several writes, and
// closes it. What it appends must end up in the new file, also when it opened
// the old one just before the swap. So:
//
//  1. What is kept is copied to a temporary file.
//  2. A lease on the old file waits for a writer to be done and blocks the next
//     one in open(2). What was appended since is copied too, the new file is
//     synced and checked.
//  3. The old file gets a second name, .FILE.ailee-old-<n>-<m>, where n is how much
//     of it the new file stands for, and m the new file's size. The new file is
//     renamed over FILE. Both are synced: from here on a crash leaves the second
//     name, and the next run completes the work.
//  4. The lease is given back. A writer that was blocked now appends to the old
//     file, by its second name. A lease on the new file keeps later ones from
//     overtaking it.
//  5. What was appended to the old file behind n is carried over, until nobody has
//     it open any more. The second name is removed.
//
// A run that is killed gives its leases back: a writer that was blocked appends to
// the old file, and the next one to the new. The run that completes it puts the bytes
// of the old file where they belong (complete.go).
const (
	// writerWait is how long a writer may take for one snapshot.
	writerWait = 30 * time.Second
	// grace is how long the old file is watched for a writer that had looked its
	// name up before the swap, but not opened it yet.
	grace = 50 * time.Millisecond
	// completeHint is for errors after the swap.
	completeHint = "run the command again to complete it"
)

func (p *pruning) inPlace(ctx context.Context) error {
	if p.plan.drop.bytes == 0 && !p.plan.newline {
		return nil
	}
	f, err := durable.Create(p.File, 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := p.write(ctx, f); err != nil {
		return err
	}
	if err := lease.AwaitNoWriter(ctx, p.in.File, writerWait); err != nil {
		return p.explainLease(err)
	}
	defer lease.Release(p.in.File) //nolint:errcheck // given back with the descriptor at the latest
	if err := p.carryOver(ctx, f.File); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return exit.Fail("", err)
	}
	if err := p.check(ctx, f.File); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// From here on the work is brought to its end, also when interrupted.
	ctx = context.WithoutCancel(ctx)
	old := &oldFile{File: p.in.File, of: p.File, done: p.plan.size, at: p.plan.output()}
	if err := swap(ctx, f, old); err != nil {
		return err
	}
	n, err := old.drain(ctx, f.File)
	p.carried += n
	if err != nil {
		return exit.Fail(completeHint, err)
	}
	return nil
}

// swap puts the new file in the place of the old, which keeps a second name.
func swap(ctx context.Context, f *durable.Pending, old *oldFile) error {
	if err := appendOnly(f.File); err != nil {
		return err
	}
	if err := lease.AwaitAlone(ctx, f.File, writerWait); err != nil {
		return err
	}
	if err := os.Link(old.of, old.name()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), old.of); err != nil {
		return errors.Join(err, os.Remove(old.name()))
	}
	if err := errors.Join(durable.SyncDir(filepath.Dir(old.of)), lease.Release(old.File)); err != nil {
		return exit.Fail(completeHint, err)
	}
	return nil
}

// appendOnly makes every write to f an append, whoever else appends to it.
func appendOnly(f *os.File) error {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_APPEND)
	}
	return err
}

// carryOver adds what was appended since the plan was made to the new file and to
// the plan. The lease on the file is held.
func (p *pruning) carryOver(ctx context.Context, f *os.File) error {
	info, err := p.in.Stat()
	if err != nil {
		return err
	}
	from := p.plan.end
	tail := io.NewSectionReader(p.in.File, from, info.Size()-from)
	for l, err := range snapshot.Scan(tail, tail.Size()) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if l.Hidden && p.DiscardHidden {
			continue
		}
		if l.Hidden {
			return p.refuseHidden(from + l.Offset)
		}
		l.Offset += from
		l.BodyEnd += from
		if err := durable.CopyRange(ctx, f, p.in.File, l.Offset, l.Size, func(int64) {}); err != nil {
			return err
		}
		p.plan.latest, p.plan.newline = l, !l.Newline()
		p.plan.end = l.End()
		p.plan.bytes += l.Size
		p.carried += l.Size
		if p.plan.newline {
			if _, err := f.WriteString("\n"); err != nil {
				return err
			}
		}
	}
	p.plan.size = info.Size()
	return nil
}

// oldFile is the file that was replaced. It keeps a second name until all of it
// has been carried over.
type oldFile struct {
	*os.File
	of   string // the file's name
	done int64  // how many of its bytes the new file stands for
	at   int64  // how large the new file was then: where the next bytes go
}

const oldInfix = ".ailee-old-"

func (o *oldFile) name() string {
	return filepath.Join(filepath.Dir(o.of), "."+filepath.Base(o.of)+fmt.Sprintf("%s%d-%d", oldInfix, o.done, o.at))
}

// drain carries over what is appended to the old file, until nobody has it open
// any more, and removes its second name. It gives back the lease on the new file.
func (o *oldFile) drain(ctx context.Context, to *os.File) (carried int64, err error) {
	defer lease.Release(to) //nolint:errcheck // given back with the descriptor at the latest
	for until := time.Now().Add(grace); ; {
		if err := lease.AwaitNoWriter(ctx, o.File, writerWait); err != nil {
			return carried, err
		}
		n, err := o.carry(ctx, to)
		if err != nil {
			return carried, err
		}
		if carried += n; n > 0 {
			until = time.Now().Add(grace)
		}
		quiet, err := o.watch(until)
		if err != nil {
			return carried, err
		}
		if quiet {
			return carried, errors.Join(os.Remove(o.name()), durable.SyncDir(filepath.Dir(o.of)))
		}
	}
}

// watch holds the lease on the old file until the given time, or until somebody
// wants to open it.
func (o *oldFile) watch(until time.Time) (quiet bool, err error) {
	defer func() { err = errors.Join(err, lease.Release(o.File)) }()
	for {
		wanted, err := lease.Wanted(o.File)
		if err != nil || wanted {
			return false, err
		}
		if !time.Now().Before(until) {
			return true, nil
		}
		time.Sleep(time.Millisecond)
	}
}

// carry appends the old file's bytes behind done to the new file, durably, and
// moves done behind them.
func (o *oldFile) carry(ctx context.Context, to *os.File) (int64, error) {
	info, err := o.Stat()
	if err != nil || info.Size() <= o.done {
		return 0, err
	}
	n := info.Size() - o.done
	there, overtaken, err := o.carriedOver(to, n)
	if err != nil {
		return 0, err
	}
	if overtaken {
		return 0, errOvertaken
	}
	if err := copyTo(ctx, to, o.File, o.done+there, n-there); err != nil {
		return 0, err
	}
	if err := to.Sync(); err != nil {
		return 0, err
	}
	before := o.name()
	o.done, o.at = o.done+n, o.at+n
	return n, os.Rename(before, o.name())
}

// errOvertaken says that a writer has appended to the new file before all of what
// was appended to the old one was carried over: it must not go behind that.
var errOvertaken = errors.New("a writer was faster")

// carriedOver tells how many of the next n bytes of the old file an earlier run that
// was killed has carried over, and just not said so in the name. Overtaken says that
// somebody has appended to the new file meanwhile: the others belong in front of that.
func (o *oldFile) carriedOver(to *os.File, n int64) (bytes int64, overtaken bool, err error) {
	info, err := to.Stat()
	if err != nil {
		return 0, false, err
	}
	appended := info.Size() - o.at
	next := io.NewSectionReader(to, o.at, appended)
	same, err := durable.SamePrefix(next, io.NewSectionReader(o.File, o.done, n))
	if err != nil || same == n || same == appended {
		return same, false, err
	}
	// Snapshots begin alike: what the writer appended begins with the last header that
	// is not behind the first byte that differs.
	header, err := snapshot.LastHeader(next, same, appended)
	if header < 0 {
		header = same
	}
	return header, true, err
}

func (p *pruning) explainLease(err error) error {
	switch {
	case errors.Is(err, lease.ErrHeld):
		return exit.Fail("run it again when the writer is done, or stop it", err)
	case errors.Is(err, lease.ErrUnsupported):
		return exit.Fail("run it as the file's owner or as root; where the file system has no leases, stop the node and prune with --output", err)
	}
	return err
}
