package prune

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/lease"
	"ailee-recovery/internal/tool"
)

// completeEarlierRun brings a run to its end that was killed after the swap.
func (p *pruning) completeEarlierRun(ctx context.Context) error {
	prefix := "." + filepath.Base(p.File) + oldInfix
	entries, err := os.ReadDir(filepath.Dir(p.File))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name, ok := strings.CutPrefix(entry.Name(), prefix)
		done, at, both := strings.Cut(name, "-")
		n, errN := strconv.ParseInt(done, 10, 64)
		m, errM := strconv.ParseInt(at, 10, 64)
		if !ok || !both || errN != nil || errM != nil {
			continue
		}
		if err := p.completeOld(ctx, filepath.Join(filepath.Dir(p.File), entry.Name()), n, m); err != nil {
			return err
		}
	}
	return nil
}

func (p *pruning) completeOld(ctx context.Context, name string, done, at int64) error {
	// What is read here ends up in the file: a link could lead anywhere.
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return planted(name)
	}
	old, err := input.OpenRegular(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	if err := durable.Lock(old.File); err != nil {
		return err
	}
	mine, err := old.Stat()
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
	if os.SameFile(mine, current) {
		// It was killed before the swap.
		return os.Remove(name)
	}
	p.out.Warn("an earlier run was killed: completing it from %s", name)
	o := &oldFile{File: old.File, of: p.File, done: done, at: at}
	for {
		carried, err := p.drainInto(ctx, o)
		p.carried += carried
		if !errors.Is(err, errOvertaken) {
			return p.explainLease(err)
		}
		if carried, err = p.insert(ctx, o); err != nil {
			return p.explainLease(err)
		}
		p.carried += carried
	}
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
// whoever looks finds that they are there. Nobody has it open for writing: the lease
// of drain is held.
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
	there, _, err := o.there(current.File, n)
	if err != nil {
		return 0, err
	}
	place := o.at + there
	for _, part := range []struct {
		of        *os.File
		offset, n int64
	}{{current.File, 0, place}, {o.File, o.done + there, n - there}, {current.File, place, before.Size() - place}} {
		if err := durable.CopyRange(ctx, f.File, part.of, part.offset, part.n, func(int64) {}); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(durable.KeepAttributes(f.File, current.File), f.Sync(), ctx.Err()); err != nil {
		return 0, err
	}
	// From here on the work is brought to its end, also when interrupted.
	ctx = context.WithoutCancel(ctx)
	replaced := &oldFile{File: current.File, of: p.File, done: before.Size(), at: before.Size() + n - there}
	if err := swap(ctx, f, replaced); err != nil {
		return 0, err
	}
	carried, err := replaced.drain(ctx, f.File)
	return n - there + carried, err
}

// planted is the error for a second name that no run of this tool made: the file
// keeps its owner when it is replaced.
func planted(name string) error {
	return tool.Failf("find out who put it there, and remove it", "%s is not what an earlier run left", name)
}

func sameOwner(a, b fs.FileInfo) bool {
	return a.Sys().(*syscall.Stat_t).Uid == b.Sys().(*syscall.Stat_t).Uid
}
