package prunesnapshots

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/lease"
	"ailee-recovery/snapshot"
)

// lookForEarlierRun completes what a run that was killed has left, or says that it is
// there.
func (p *pruning) lookForEarlierRun(ctx context.Context) error {
	if !p.DryRun {
		return p.completeEarlierRun(ctx)
	}
	names, err := p.oldNames()
	for _, name := range names {
		p.out.Warn("an earlier run was killed and left %s: the next one completes it first", name)
	}
	return err
}

// completeEarlierRun brings runs to their end that were killed after the swap. It is
// not interrupted: what it does is not undone.
func (p *pruning) completeEarlierRun(ctx context.Context) error {
	names, err := p.oldNames()
	if err != nil {
		return err
	}
	current, err := os.Stat(p.File)
	if err != nil {
		return err
	}
	var replaced []string
	for _, name := range names {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case os.SameFile(info, current):
			// It was killed before the swap.
			if err := os.Remove(name); err != nil {
				return err
			}
		default:
			replaced = append(replaced, name)
		}
	}
	ctx = context.WithoutCancel(ctx)
	for _, name := range replaced {
		err := p.completeOld(ctx, name)
		var known *exit.Error
		if err = p.explainLease(err); err != nil && !errors.As(err, &known) && !errors.Is(err, durable.ErrBusy) {
			err = exit.Fail(completeHint, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oldNames returns the second names that replaced files have.
func (p *pruning) oldNames() (names []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(p.File))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := filepath.Join(filepath.Dir(p.File), entry.Name())
		if _, ok := p.named(name); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// named reads a second name.
func (p *pruning) named(name string) (o *oldFile, ok bool) {
	numbers, ok := strings.CutPrefix(filepath.Base(name), "."+filepath.Base(p.File)+oldInfix)
	if !ok {
		return nil, false
	}
	done, at, _ := strings.Cut(numbers, "-")
	o = &oldFile{of: p.File}
	var errDone, errAt error
	o.done, errDone = strconv.ParseInt(done, 10, 64)
	o.at, errAt = strconv.ParseInt(at, 10, 64)
	return o, errDone == nil && errAt == nil && o.name() == name
}

func (p *pruning) completeOld(ctx context.Context, name string) error {
	in, err := input.OpenRegular(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if err := durable.Lock(in.File); err != nil {
		return err
	}
	mine, err := in.Stat()
	if err != nil {
		return err
	}
	// Only now is it certain that no run is at it. What is read here ends up in the
	// file: a link could lead anywhere.
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	current, err := os.Stat(p.File)
	if err != nil {
		return err
	}
	if !os.SameFile(info, mine) || !sameOwner(mine, current) {
		return planted(name)
	}
	o, _ := p.named(name)
	o.File = in.File
	if known, err := p.goesOn(o); err != nil {
		return err
	} else if !known {
		return p.another(o, mine.Size())
	}
	p.out.Warn("an earlier run was killed: completing it from %s", name)
	for {
		carried, err := p.drainInto(ctx, o)
		p.carried += carried
		if !errors.Is(err, errOvertaken) {
			return err
		}
		if carried, err = p.insert(ctx, o); err != nil {
			return err
		}
		p.carried += carried
	}
}

// goesOn tells whether the file still goes on where the old file's bytes belong:
// the last snapshot before them is in both, with the same bytes behind it.
func (p *pruning) goesOn(o *oldFile) (bool, error) {
	f, err := os.Open(p.File)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < o.at {
		return false, err
	}
	here, err := snapshot.Latest(f, o.at)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	there, err := snapshot.Latest(o.File, o.done)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return false, nil
	}
	if err != nil || here.BodyEnd-here.Offset != there.BodyEnd-there.Offset {
		return false, err
	}
	size, appended := here.BodyEnd-here.Offset, o.at-here.End()
	same, err := durable.SameBytes(io.NewSectionReader(f, here.Offset, size), io.NewSectionReader(o.File, there.Offset, size))
	if err != nil || !same {
		return false, err
	}
	return durable.SameBytes(io.NewSectionReader(f, here.End(), appended), io.NewSectionReader(o.File, o.done-appended, appended))
}

// another is the outcome when somebody has replaced the file since the run was killed.
func (p *pruning) another(o *oldFile, size int64) error {
	if size == o.done {
		return os.Remove(o.name())
	}
	return exit.Failf("see what it has, then give it another name: "+exit.Command("ailee_l2_verify", "--all", "--snapshot", o.name()),
		"%s was replaced since an earlier run was killed: what was appended to the old file, from byte %d of %s on, is not in it", p.File, o.done, o.name())
}

// drainInto carries over what the old file has to the end of the file.
func (p *pruning) drainInto(ctx context.Context, o *oldFile) (int64, error) {
	to, err := os.OpenFile(p.File, os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	if err := lease.AwaitAlone(ctx, to, writerWait); err != nil {
		return 0, err
	}
	return o.drain(ctx, to)
}

// insert replaces the file, by the swap that pruning does, by one that has the old
// file's bytes before what was appended since. The old file keeps its second name:
// whoever looks finds that they are there. Nobody has it open for writing: drain, which
// was overtaken, has not given its lease back.
func (p *pruning) insert(ctx context.Context, o *oldFile) (int64, error) {
	current, err := input.OpenRegular(ctx, p.File)
	if err != nil {
		return 0, err
	}
	defer current.Close()
	if err := durable.Lock(current.File); err != nil {
		return 0, err
	}
	f, err := durable.Create(p.File, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Abort()
	// What is before its place does not change any more: it is copied before writers
	// have to wait.
	if err := copyTo(ctx, f.File, current.File, 0, o.at); err != nil {
		return 0, err
	}
	if err := lease.AwaitNoWriter(ctx, current.File, writerWait); err != nil {
		return 0, err
	}
	defer lease.Release(current.File) //nolint:errcheck // given back with the descriptor at the latest
	before, err := current.Stat()
	if err != nil {
		return 0, err
	}
	old, err := o.Stat()
	if err != nil {
		return 0, err
	}
	n := old.Size() - o.done
	there, _, err := o.carriedOver(current.File, n)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(
		copyTo(ctx, f.File, current.File, o.at, there),
		copyTo(ctx, f.File, o.File, o.done+there, n-there),
		// A writer that died left no end of its line.
		snapshot.TerminateLine(f.File),
		copyTo(ctx, f.File, current.File, o.at+there, before.Size()-o.at-there),
		durable.KeepAttributes(f.File, current.File),
		f.Sync(),
	); err != nil {
		return 0, err
	}
	after, err := f.Stat()
	if err != nil {
		return 0, err
	}
	replaced := &oldFile{File: current.File, of: p.File, done: before.Size(), at: after.Size()}
	if err := swap(ctx, f, replaced); err != nil {
		return 0, err
	}
	carried, err := replaced.drain(ctx, f.File)
	return after.Size() - before.Size() + carried, err
}

func copyTo(ctx context.Context, to, from *os.File, offset, n int64) error {
	return durable.CopyRange(ctx, to, from, offset, n, func(int64) {})
}

// planted is the error for a second name that no run of this tool made: the file
// keeps its owner when it is replaced.
func planted(name string) error {
	return exit.Failf("find out who put it there, and remove it", "%s is not what an earlier run left", name)
}

func sameOwner(a, b fs.FileInfo) bool {
	return a.Sys().(*syscall.Stat_t).Uid == b.Sys().(*syscall.Stat_t).Uid
}
