package extractsnapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"

	"github.com/dustin/go-humanize"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/internal/workers"
	"ailee-recovery/snapshot"
	"ailee-recovery/snapshot/statejson"
)

// Run extracts. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	in, err := input.OpenRegular(ctx, o.File)
	if errors.Is(err, input.ErrNotSeekable) {
		return exit.Fail("write its content to a file first", err)
	}
	if err != nil {
		return exit.Fail(snapshottool.ReadHint(err), err)
	}
	defer in.Close()
	p, err := newPlan(ctx, o, in.Section(), in.Size)
	if err == nil && p.chosen() == 0 && len(p.salvaged) == 0 {
		err = p.nothing()
	}
	if err != nil {
		return explain(o, snapshottool.Reader{}.Unless(err, in))
	}
	if err := durable.BecomeUserOf(&p.Dir); err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	e := &extraction{plan: p, in: in, out: out}
	if o.DryRun {
		err = e.foresee(ctx)
	} else {
		err = e.write(ctx)
	}
	if err != nil {
		return explain(o, err)
	}
	return e.finish()
}

// explain adds the file, exit code and hint to an error from reading it.
func explain(o Options, err error) error {
	var known *exit.Error
	var notText *statejson.NotTextError
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, errNoneValid):
		return exit.WrongData("see what is wrong with each: "+exit.Command("ailee_l2_verify", "--all", "--snapshot", o.File),
			fmt.Errorf("%s: %w", o.File, err))
	case errors.Is(err, snapshot.ErrNoSnapshot):
		return exit.Fail("check whether a torn line hides one: "+exit.Command(Name, "--salvage", "--dry-run", o.File, o.Dir),
			fmt.Errorf("%s: %w", o.File, err))
	case errors.As(err, &notText):
		return exit.Fail("extract it as it is, with --format dat", fmt.Errorf("%s: %w", o.File, err))
	}
	return exit.Fail(snapshottool.ReadHint(err), fmt.Errorf("%s: %w", o.File, err))
}

// nothing returns the error if there is nothing to extract.
func (p *plan) nothing() error {
	switch {
	case p.total > 0:
		err := &snapshottool.NoSuchError{Index: p.Index.First, Last: p.Index.Last, Count: p.total}
		return exit.Fail("list them: "+exit.Command("ailee_l2_verify", "--all", "--snapshot", p.File), fmt.Errorf("%s: %w", p.File, err)) // FILE has no snapshot of that number
	case p.Salvage:
		return exit.Failf(snapshottool.RestoreHint(p.File), "%s: %w, and none of the %d hidden by a torn line is sound",
			p.File, snapshot.ErrNoSnapshot, p.hidden)
	}
	return snapshot.ErrNoSnapshot
}

// extraction is one run.
type extraction struct {
	*plan
	in  *input.Input
	out *cli.IO

	files int64
	bytes int64
	first string // the names of the first and last file
	last  string
}

// document is the JSON result.
type document struct {
	File   string `json:"file"`
	Dir    string `json:"dir"`
	DryRun bool   `json:"dry_run"`
}

type fileDocument struct {
	Name     string `json:"name"`
	Index    int64  `json:"index,omitempty"`
	Offset   int64  `json:"offset"`
	Size     int64  `json:"size"`
	Salvaged bool   `json:"salvaged,omitempty"`
}

type endDocument struct {
	Files    int64 `json:"count"`
	Hidden   int64 `json:"hidden"`   // snapshots that a torn line hides from nodes
	Salvaged int64 `json:"salvaged"` // the hidden snapshots that were extracted
	ExitCode int   `json:"exit_code"`
}

// stagingName is the folder in which files wait for their names.
const stagingName = ".ailee_extract-staging"

// foresee shows the plan, unless the real run would refuse it.
func (e *extraction) foresee(ctx context.Context) error {
	resumed, err := durable.CouldStage(e.Dir, stagingName)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	if err := e.refuseExisting(resumed); err != nil {
		return err
	}
	if e.Format == FormatJSON {
		// Not every state can be written as JSON.
		checker := snapshot.NewChecker(e.memory)
		for i, err := range e.items() {
			if err != nil {
				return err
			}
			if err := e.encode(ctx, checker, io.Discard, i); err != nil {
				return err
			}
		}
	}
	return e.list()
}

// list shows the plan.
func (e *extraction) list() error {
	rows := e.rows()
	for i, err := range e.items() {
		if err != nil {
			return err
		}
		e.account(i)
		if e.out.JSON() {
			err = rows.Add(describe(i))
		} else {
			e.out.Printf("%-24s  %12d bytes at byte %d\n", i.name(), i.Size, i.Offset)
			err = e.out.OutErr()
		}
		if err != nil {
			return err
		}
	}
	if e.out.JSON() {
		return rows.End(endDocument{Files: e.files, Hidden: e.hidden, Salvaged: int64(len(e.salvaged))})
	}
	return nil
}

func (e *extraction) rows() *cli.Rows {
	return e.out.Rows(document{File: terminal.Text(e.File), Dir: terminal.Text(durable.Shown(e.Dir)), DryRun: e.DryRun}, "files")
}

func describe(i item) fileDocument {
	d := fileDocument{Name: i.name(), Index: i.Index, Offset: i.Offset, Size: i.Size, Salvaged: i.Hidden}
	if i.Hidden {
		d.Index = 0
	}
	return d
}

func (e *extraction) account(i item) {
	if e.files == 0 {
		e.first = i.name()
	}
	e.files++
	e.bytes += i.Size
	e.last = i.name()
}

// write writes all files or none.
func (e *extraction) write(ctx context.Context) error {
	staging, err := durable.Stage(e.Dir, stagingName)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	defer staging.Abort()
	if err := e.refuseExisting(staging.Resumed() || staging.Fresh()); err != nil {
		return err
	}
	bar := terminal.BytesBar(e.out.Err, !e.out.Quiet(), "extracting", e.size)
	defer bar.Done()
	if err := e.writeItems(ctx, staging, bar); err != nil {
		return err
	}
	if err := staging.Sync(); err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	bar.Done()
	for i, err := range e.items() {
		if err != nil {
			return err
		}
		if err := staging.Publish(i.name(), e.Force); err != nil {
			return refused(err)
		}
	}
	if err := staging.Commit(); errors.Is(err, fs.ErrExist) {
		return refused(err)
	} else if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	if e.out.JSON() {
		e.files, e.bytes = 0, 0
		return e.list()
	}
	return nil
}

// writeItems writes the staged files on all cores.
func (e *extraction) writeItems(ctx context.Context, staging *durable.Staging, bar terminal.Bar) error {
	info, err := e.in.Stat()
	if err != nil {
		return err
	}
	perm := info.Mode().Perm()
	work := make(chan []item)
	group, ctx := workers.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			w := writer{extraction: e, staging: staging, perm: perm, bar: bar, checker: snapshot.NewChecker(e.memory)}
			for items := range work {
				if err := w.write(ctx, items); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		for items, err := range e.batches() {
			if err != nil {
				return err
			}
			select {
			case work <- items:
			case <-ctx.Done():
				return ctx.Err()
			}
			for _, i := range items {
				e.account(i)
			}
		}
		return nil
	})
	return group.Wait()
}

const (
	// small is the size, in bytes, up to which a snapshot is written from memory. The kernel
	// copies large ones faster, but needs more system calls for each.
	small = 64 << 10
	// batchSize is how many bytes of small snapshots are read at once.
	batchSize = 256 << 10
)

// batches yields the items in batches: either small snapshots that directly follow each
// other in FILE, of which only the last may lack its newline, or a single large one.
func (e *extraction) batches() iter.Seq2[[]item, error] {
	return func(yield func([]item, error) bool) {
		var batch []item
		for i, err := range e.items() {
			if err != nil {
				yield(nil, err)
				return
			}
			if n := len(batch); n > 0 && (!e.isSmall(i) || !batch[n-1].Newline() || i.Offset != batch[n-1].End() || i.End()-batch[0].Offset > batchSize) {
				if !yield(batch, nil) {
					return
				}
				batch = nil
			}
			if batch = append(batch, i); e.isSmall(i) {
				continue
			}
			if !yield(batch, nil) {
				return
			}
			batch = nil
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

func (e *extraction) isSmall(i item) bool { return e.Format == FormatDat && i.Size <= small }

// writer writes staged files. Not safe for concurrent use.
type writer struct {
	*extraction
	staging *durable.Staging
	perm    os.FileMode
	bar     terminal.Bar
	checker *snapshot.Checker
	buf     []byte
}

// write writes a batch.
func (w *writer) write(ctx context.Context, items []item) error {
	if w.isSmall(items[0]) {
		return w.writeSmall(ctx, items)
	}
	f, err := w.staging.Create(items[0].name(), w.perm)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	return errors.Join(w.writeLarge(ctx, f, items[0]), f.Close())
}

// writeLarge writes the only item of a batch.
func (w *writer) writeLarge(ctx context.Context, f *durable.StagedFile, i item) error {
	if w.Format == FormatJSON {
		defer w.bar.Add(i.Size)
		return w.encode(ctx, w.checker, f, i)
	}
	if err := durable.CopyRange(ctx, f.File, w.in.File, w.in.Base+i.Offset, i.Size, w.bar.Add); err != nil {
		return err
	}
	if !i.Newline() {
		if _, err := f.WriteString("\n"); err != nil {
			return err
		}
	}
	return f.CheckSize(i.bytes())
}

func (w *writer) writeSmall(ctx context.Context, items []item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.buf == nil {
		w.buf = make([]byte, batchSize+1) // one more for a missing newline
	}
	first := items[0].Offset
	content := w.buf[:items[len(items)-1].End()-first]
	if err := durable.ReadFull(content, w.in.File, w.in.Base+first); err != nil {
		return err
	}
	for _, i := range items {
		text := content[i.Offset-first:][:i.Size]
		if !i.Newline() {
			text = append(text, '\n') // fits in w.buf, since it is the last of its batch
		}
		if err := w.staging.Write(i.name(), w.perm, text); err != nil {
			return exit.Fail(durable.Hint(err), err)
		}
	}
	w.bar.Add(int64(len(content)))
	return nil
}

// refuseExisting refuses to replace existing files. allowed is set if there can be none, or
// if they may come from a killed run.
func (e *extraction) refuseExisting(allowed bool) error {
	if e.Force || allowed {
		return nil
	}
	for i, err := range e.items() {
		if err != nil {
			return err
		}
		if err := durable.Missing(filepath.Join(e.Dir, i.name())); err != nil {
			return refused(err)
		}
	}
	return nil
}

func refused(err error) error {
	return exit.Fail("name another folder, or replace what is there with --force", err) // DIR/NAME already exists
}

func (e *extraction) encode(ctx context.Context, checker *snapshot.Checker, w io.Writer, i item) error {
	report, err := checker.Check(ctx, e.r, i.Located)
	if err != nil {
		return err
	}
	return statejson.Encode(ctx, w, checker, e.r, report)
}

// finish reports what was extracted, and what else is in the file.
func (e *extraction) finish() error {
	verb := "Extracted"
	if e.DryRun {
		verb = "Would extract"
	}
	names := e.first
	if e.files > 1 {
		names += " to " + e.last
	}
	e.out.Printf("%s %d snapshot(s), %s, to %s: %s\n", verb, e.files, humanize.IBytes(uint64(e.bytes)), terminal.Text(durable.Shown(e.Dir)), names)
	switch left := e.hidden - int64(len(e.salvaged)); {
	case e.Salvage && left > 0:
		e.out.Warn("%s: %d snapshot(s) hidden by a torn line are not sound and were left out", e.File, left)
	case left > 0:
		e.out.Warn("%s: a torn line hides %d snapshot(s) from nodes: --salvage extracts the sound ones", e.File, left)
	}
	found, err := snapshot.TailFindings(e.r, e.plan.end, e.size)
	if err != nil {
		return explain(e.Options, err)
	}
	for _, f := range found {
		if f.Kind.Matters() {
			e.out.Warn("%s: %s", e.File, f)
		}
	}
	return nil
}
