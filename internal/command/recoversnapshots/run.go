package recoversnapshots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/internal/swap"
	"ailee-recovery/snapshot"
)

// Run recovers. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) (err error) {
	r := &recovery{Options: o, out: out}
	defer r.close()
	return explain(r.run(ctx))
}

// recovery is one run.
type recovery struct {
	Options
	out     *cli.IO
	sources []*source
	plan    *plan
}

func (r *recovery) close() {
	if r.plan != nil {
		r.plan.close()
	}
	for _, s := range r.sources {
		_ = s.close()
	}
}

func (r *recovery) run(ctx context.Context) error {
	// What only root can read is opened before it becomes another user.
	for _, name := range r.Options.Sources {
		s, err := openSource(ctx, name)
		if err != nil {
			return err
		}
		r.sources = append(r.sources, s)
	}
	if err := r.warnOfLeft(); err != nil {
		return err
	}
	if err := durable.BecomeUserOf(&r.Output); err != nil {
		return err
	}
	if err := r.refuseOutput(); err != nil {
		return err
	}
	for _, s := range r.sources {
		if err := s.unpack(ctx, r.Output, r.MaxUnpacked); err != nil {
			return err
		}
	}
	if r.DryRun {
		if err := r.makePlan(ctx, nil); err != nil {
			return err
		}
	} else if err := r.write(ctx); err != nil {
		return err
	}
	for _, s := range r.sources {
		if f := s.foreign(); f != nil {
			r.out.Warn("%s", f)
			r.out.Hint("%s", f.Hint)
		}
	}
	return r.report()
}

// makePlan makes the plan, and at the same time writes the start of the file, which is nil in
// a dry run.
func (r *recovery) makePlan(ctx context.Context, file *os.File) error {
	total := int64(0)
	for _, s := range r.sources {
		total += s.in.Size
	}
	bar := terminal.BytesBar(r.out.Err, !r.out.Quiet(), "reading", total)
	defer bar.Done()
	r.plan = newPlan(r.Options, r.sources, bar)
	if file != nil {
		r.plan.ahead = startAhead(ctx, file, r.sources[0])
	}
	if err := r.plan.make(ctx); err != nil {
		return err
	}
	if r.plan.snapshots == 0 {
		bar.Done()
		return r.nothing()
	}
	return nil
}

// explain adds the exit code and hint to an error.
func explain(err error) error {
	var known *exit.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return exit.Fail(snapshottool.ReadHint(err), err)
}

// nothing returns the error for when no source has a valid snapshot.
func (r *recovery) nothing() error {
	var invalid, torn int64
	first := r.sources[0].name
	for _, s := range slices.Backward(r.sources) {
		invalid += s.invalid
		torn += s.torn
		if s.invalid > 0 {
			first = s.name
		}
	}
	for _, s := range r.sources {
		r.warnOfCut(s)
		if f := s.foreign(); f != nil && invalid == 0 {
			return exit.Fail(f.Hint, f)
		}
	}
	if invalid == 0 {
		return exit.Failf("look for other copies and backups", "no source has a complete snapshot (torn: %d)", torn)
	}
	return exit.Failf("see what is wrong with each: "+exit.Command("ailee_l2_verify", "--all", "--snapshot", first),
		"no source has a valid snapshot (invalid: %d, torn: %d)", invalid, torn)
}

// warnOfLeft warns of files that prunes left next to the sources and that are not sources
// themselves, as far as the folders can be listed.
func (r *recovery) warnOfLeft() error {
	for _, s := range r.sources {
		names, err := swap.Left(s.name)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // the prune is done
			}
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(r.sources, func(s *source) bool { return s.is(info) }) {
				r.out.Warn("%s was left by a prune that was killed or is still running: it may have snapshots that %s does not have", name, s.name)
				r.out.Hint("name it as a SOURCE as well")
			}
		}
	}
	return nil
}

// is reports whether the source is the file that info describes.
func (s *source) is(info fs.FileInfo) bool {
	mine, err := s.given.Stat()
	return err == nil && os.SameFile(mine, info)
}

// refuseOutput refuses an OUT that exists, whose temporary name is a source's name, or whose
// folder is missing.
func (r *recovery) refuseOutput() error {
	for _, name := range []string{r.Output, durable.TemporaryName(r.Output)} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, s := range r.sources {
			if s.is(info) && name == r.Output {
				return exit.Failf("name another output", "%s is the source %s itself", r.Output, s.name)
			}
			if s.is(info) {
				return exit.Failf("name another output", "%s would be overwritten: %s has this name until it is complete", s.name, r.Output)
			}
		}
	}
	err := durable.CouldCreate(r.Output, false)
	switch {
	case errors.Is(err, fs.ErrExist):
		return exists(r.Output)
	case err != nil:
		return exit.Fail(durable.Hint(err), err)
	}
	return nil
}

func exists(path string) error {
	return exit.Failf("name another output, or move it away", "%s already exists", path)
}

// write makes OUT.
func (r *recovery) write(ctx context.Context) error {
	f, err := durable.Create(r.Output, 0o600)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	defer f.Abort()
	if err := r.makePlan(ctx, f.File); err != nil {
		return err
	}
	if err := r.copy(ctx, f.File); err != nil {
		return err
	}
	last := r.sources[len(r.sources)-1]
	err = durable.KeepAttributes(f.File, last.given.File)
	if errors.Is(err, durable.ErrOwner) || errors.Is(err, durable.ErrAttributes) {
		r.out.Warn("%s: %s", r.Output, err)
	} else if err != nil {
		return err
	}
	if err := r.check(ctx, f.File); err != nil {
		return err
	}
	if err := f.Commit(false); errors.Is(err, fs.ErrExist) {
		return exists(r.Output)
	} else if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	return r.warnOfGrowth()
}

// copy copies the planned ranges.
func (r *recovery) copy(ctx context.Context, f *os.File) error {
	bar := terminal.BytesBar(r.out.Err, !r.out.Quiet(), "recovering", r.plan.bytes)
	defer bar.Done()
	spans := r.plan.spans.From(0, r.plan.spans.Len())
	for first := true; ; first = false {
		buf, err := spans.Next()
		if err != nil || buf == nil {
			return err
		}
		next, have := parseSpan(buf), int64(0)
		if first {
			if have, err = r.plan.ahead.keep(next); err != nil {
				return err
			}
			bar.Add(have)
		}
		s := r.sources[next.source]
		if err := durable.CopyRange(ctx, f, s.in.File, s.in.Base+next.offset+have, next.size-have, bar.Add); err != nil {
			return exit.Fail(durable.Hint(err), err)
		}
		if next.newline {
			if _, err := f.WriteString("\n"); err != nil {
				return exit.Fail(durable.Hint(err), err)
			}
		}
	}
}

// errCopy says that the written file differs from what should have been written.
var errCopy = errors.New("the written file differs from what was read: a source was overwritten in the meantime, or this disk cannot be trusted")

// check reads the written file back: its size and the latest snapshot, or all of it if a
// source may have been overwritten in the meantime.
func (r *recovery) check(ctx context.Context, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != r.plan.bytes {
		return fmt.Errorf("%w: %d bytes instead of %d", errCopy, info.Size(), r.plan.bytes)
	}
	for _, s := range r.sources {
		if touched, err := s.touched(); err != nil || touched {
			return errors.Join(err, r.checkAll(ctx, f, info.Size()))
		}
	}
	l, err := snapshot.Latest(f, info.Size())
	if err != nil || l.End() != info.Size() {
		return errors.Join(errCopy, err)
	}
	report, err := r.plan.checker.Check(ctx, f, l)
	if err == nil && (!r.plan.candidate(report) || report.TimestampMs != r.plan.newest.time) {
		err = errCopy
	}
	return err
}

// checkAll checks that each snapshot is valid and that there is nothing between them.
func (r *recovery) checkAll(ctx context.Context, f *os.File, size int64) error {
	count, end := int64(0), int64(0)
	for report, err := range snapshottool.Reports(ctx, f, 0, size, r.plan.memory) {
		if err != nil {
			return err
		}
		if report.Offset != end || !r.plan.candidate(report) {
			return fmt.Errorf("%w: at byte %d", errCopy, end)
		}
		end = report.End()
		count++
	}
	if count != r.plan.snapshots || end != size {
		return fmt.Errorf("%w: %d snapshots instead of %d", errCopy, count, r.plan.snapshots)
	}
	return nil
}

// warnOfGrowth warns of sources that a node has appended to in the meantime.
func (r *recovery) warnOfGrowth() error {
	for _, s := range r.sources {
		info, err := s.given.Stat()
		if err != nil {
			return err
		}
		if grown := info.Size() - s.given.Size - s.given.Base; grown > 0 {
			r.out.Warn("%s grew by %d bytes in the meantime, which %s does not have", s.name, grown, r.Output)
			r.out.Hint("stop the node, then recover to another file")
		}
	}
	return nil
}

// latest returns the snapshot that a node would load from OUT.
func (r *recovery) latest() (source string, located snapshot.Located) {
	return r.sources[r.plan.newest.source].name, r.plan.newest.located()
}
