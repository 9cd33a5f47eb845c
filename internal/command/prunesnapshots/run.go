package prunesnapshots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/internal/swap"
	"ailee-recovery/snapshot"
)

// Run prunes. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	p := &pruning{Options: o, out: out}
	p.judge = snapshot.Judge{Checker: snapshot.NewChecker(o.Memory()), AcceptEarlierAnchors: o.AcceptEarlierAnchors}
	return p.explain(p.run(ctx))
}

// pruning is one run.
type pruning struct {
	Options
	out   *cli.IO
	judge snapshot.Judge

	in   *input.Input
	plan *plan

	carried int64 // bytes appended during the run that were carried over
}

func (p *pruning) run(ctx context.Context) (err error) {
	if p.InPlace {
		if err := swap.RefuseMounted(p.File); err != nil {
			return err
		}
		if err := durable.BecomeUserOf(&p.File); err != nil {
			return err
		}
	}
	if p.InPlace {
		// A link to the file remains a link.
		if p.File, err = filepath.EvalSymlinks(p.File); err != nil {
			return err
		}
		if !p.DryRun {
			return p.inPlace(ctx)
		}
		if err := p.warnOfEarlierRuns(); err != nil {
			return err
		}
		if err := swap.CouldReplace(p.File); err != nil {
			return err
		}
	}
	if p.in, err = input.OpenRegular(ctx, p.File); err != nil {
		return err
	}
	defer p.in.Close()
	noted, err := p.makePlan(ctx)
	if err != nil {
		return err
	}
	if p.Output != "" {
		if err := p.refuseOutput(); err != nil {
			return err
		}
	}
	if p.DryRun {
		return p.show()
	}
	if err := p.toOutput(ctx); err != nil {
		return err
	}
	p.writeNote(noted)
	return p.report()
}

// makePlan makes the plan and its note. It refuses a plan that would lose what must not
// be lost.
func (p *pruning) makePlan(ctx context.Context) (noted note, err error) {
	reader := snapshottool.Reader{}
	if p.plan, err = newPlan(ctx, p.in.Section(), p.in.Size, p.Keep, p.judge, p.DryRun); err != nil {
		return note{}, reader.Unless(err, p.in)
	}
	if f := reader.Foreign(p.in); f != nil {
		return note{}, exit.Fail(f.Hint, fmt.Errorf("%w, and its content would be dropped", f))
	}
	if p.plan.discard >= 0 && !p.DiscardNewestValid {
		return note{}, p.refuse()
	}
	if p.plan.drop.hidden > 0 && !p.DiscardHidden {
		return note{}, p.refuseHidden(p.plan.drop.firstHidden)
	}
	return newNote(p.plan, p.in.Section(), p.out.Now())
}

// explain adds the file, exit code and hint to an error.
func (p *pruning) explain(err error) error {
	var known *exit.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, input.ErrNotSeekable):
		return exit.Fail("write its content to a file first", err)
	case errors.Is(err, snapshot.ErrNoSnapshot):
		return exit.Fail("see what can be recovered: "+exit.Command("ailee_recover_snapshots", "--dry-run", p.File, "OUT"),
			fmt.Errorf("%s: %w", p.File, err))
	case errors.Is(err, durable.ErrBusy):
		return exit.Fail("wait until it is done", err)
	}
	return exit.Fail(snapshottool.ReadHint(err), fmt.Errorf("%s: %w", p.File, err))
}

// refuse returns the error if pruning would lose the newest valid snapshot.
func (p *pruning) refuse() error {
	return exit.WrongData("keep more, or drop the valid one with --discard-newest-valid; to see them: "+
		exit.Command("ailee_l2_verify", "--all", "--snapshot", p.File),
		fmt.Errorf("%s: none of the %d snapshot(s) to be kept verifies, but an older one does, at byte %d", p.File, p.plan.snapshots, p.plan.discard))
}

// refuseOutput refuses an output that cannot be written, before anything is written.
func (p *pruning) refuseOutput() error {
	if err := durable.BecomeUserOf(&p.Output); err != nil {
		return err
	}
	if info, err := os.Stat(p.Output); err == nil {
		mine, err := p.in.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(info, mine) {
			return exit.Failf("name another output, or use --in-place", "%s is the snapshot file itself", p.Output)
		}
	}
	if err := durable.CouldCreate(p.Output, p.Force); errors.Is(err, fs.ErrExist) {
		return exists(p.Output)
	} else if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	return nil
}

// toOutput writes the result to OUT.
func (p *pruning) toOutput(ctx context.Context) error {
	f, err := durable.Create(p.Output, 0o600)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	defer f.Abort()
	if err := p.write(ctx, f.File); err != nil {
		return err
	}
	err = durable.KeepAttributes(f.File, p.in.File)
	if errors.Is(err, durable.ErrOwner) || errors.Is(err, durable.ErrAttributes) {
		p.out.Warn("%s: %s", p.Output, err)
	} else if err != nil {
		return err
	}
	if err := p.check(ctx, f.File); err != nil {
		return err
	}
	if err := f.Commit(p.Force); errors.Is(err, fs.ErrExist) {
		return exists(p.Output)
	} else if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	info, err := p.in.Stat()
	if err == nil && info.Size() != p.in.Size {
		p.out.Warn("%s grew by %d bytes during the prune, which are not in %s", p.File, info.Size()-p.in.Size, p.Output)
		p.out.Hint("while a node is running, prune with --in-place, which carries them over")
	}
	return err
}

func exists(path string) error {
	return exit.Failf("name another output, or replace it with --force", "%s already exists", path)
}

// write copies what is kept.
func (p *pruning) write(ctx context.Context, f *os.File) error {
	bar := terminal.BytesBar(p.out.Err, !p.out.Quiet(), "pruning", p.plan.bytes)
	defer bar.Done()
	for _, s := range p.plan.kept {
		if err := durable.CopyRange(ctx, f, p.in.File, s.offset, s.size, bar.Add); err != nil {
			return err
		}
	}
	if p.plan.newline {
		if _, err := f.WriteString("\n"); err != nil {
			return err
		}
	}
	return nil
}

// errCopy says that the written file is not what it should be.
var errCopy = errors.New("the written file differs from what was read: do not trust this disk")

// check reads the written file back: its size and its latest snapshot must be those of
// the original.
func (p *pruning) check(ctx context.Context, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != p.plan.output() {
		return fmt.Errorf("%w: %d bytes instead of %d", errCopy, info.Size(), p.plan.output())
	}
	l, err := snapshot.Latest(f, info.Size())
	if err != nil {
		return errors.Join(errCopy, err)
	}
	written, err := p.judge.Check(ctx, f, l)
	if err != nil {
		return err
	}
	original := p.plan.report
	if original == nil || original.Offset != p.plan.latest.Offset {
		if original, err = p.judge.Check(ctx, p.in.File, p.plan.latest); err != nil {
			return err
		}
	}
	if written.Root != original.Root || written.AnchorVerdict != original.AnchorVerdict || l.BodyEnd-l.Offset != p.plan.latest.BodyEnd-p.plan.latest.Offset {
		return errCopy
	}
	return nil
}

// document is the JSON result.
type document struct {
	File         string `json:"file"`
	Output       string `json:"output,omitempty"`
	DryRun       bool   `json:"dry_run"`
	Kept         int64  `json:"kept"`
	KeptBytes    int64  `json:"kept_bytes"`
	Dropped      *int64 `json:"dropped,omitempty"` // snapshots, if they were counted
	DroppedBytes int64  `json:"dropped_bytes"`
	Hidden       int64  `json:"hidden_dropped"` // complete ones that no node sees
	TailBytes    int64  `json:"tail_bytes"`     // the dropped bytes after the latest snapshot
	CarriedOver  int64  `json:"carried_over_bytes"`
	ValidKept    bool   `json:"valid_kept"`
	LatestValid  bool   `json:"latest_valid"` // the latest one when the prune began
	ExitCode     int    `json:"exit_code"`
}

func (p *pruning) document() document {
	d := document{
		File:         terminal.Text(durable.Shown(p.File)),
		Output:       terminal.Text(durable.Shown(p.Output)),
		DryRun:       p.DryRun,
		Kept:         p.plan.snapshots,
		KeptBytes:    p.plan.bytes,
		DroppedBytes: p.plan.drop.bytes,
		Hidden:       p.plan.drop.hidden,
		TailBytes:    p.plan.size - p.plan.end,
		CarriedOver:  p.carried,
		ValidKept:    p.plan.valid,
		LatestValid:  p.plan.latestValid,
	}
	if p.plan.drop.counted {
		d.Dropped = &p.plan.drop.snapshots
	}
	return d
}

// show prints the plan.
func (p *pruning) show() error {
	if p.out.JSON() {
		p.out.Document(p.document())
		return nil
	}
	p.out.Printf("Would keep %d snapshot(s), %s, starting at byte %d\n", p.plan.snapshots, terminal.Size(p.plan.bytes), p.plan.kept[0].offset)
	p.out.Printf("Would drop %s\n", p.dropped())
	p.warn()
	return nil
}

// report says what was done.
func (p *pruning) report() error {
	if p.out.JSON() {
		p.out.Document(p.document())
		return nil
	}
	to := p.Output
	if p.InPlace {
		to = p.File
	}
	p.out.Printf("Kept %d snapshot(s), %s, in %s\n", p.plan.snapshots, terminal.Size(p.plan.bytes), terminal.Text(durable.Shown(to)))
	p.out.Printf("Dropped %s\n", p.dropped())
	if p.carried > 0 {
		p.out.Printf("Carried over %s appended during the prune\n", terminal.Size(p.carried))
	}
	p.warn()
	return nil
}

// dropped describes what is not kept.
func (p *pruning) dropped() string {
	bytes := terminal.Size(p.plan.drop.bytes)
	if !p.plan.drop.counted {
		return bytes
	}
	return fmt.Sprintf("%d snapshot(s), %s", p.plan.drop.snapshots, bytes)
}

func (p *pruning) warn() {
	if p.Keep != KeepAll && p.plan.snapshots < p.Keep {
		p.out.Warn("%s has only %d complete snapshot(s)", p.File, p.plan.snapshots)
	}
	if n := p.plan.drop.hidden; n > 0 {
		p.out.Warn("%d complete snapshot(s) hidden from nodes by a torn line are not kept", n)
	}
	switch {
	case !p.plan.valid:
		p.out.Warn("none of the snapshots kept verifies")
	case !p.plan.latestValid && p.carried > 0:
		p.out.Warn("the snapshot that was the latest when the prune began does not verify")
	case !p.plan.latestValid:
		p.out.Warn("the latest snapshot does not verify")
	}
	if !p.plan.latestValid {
		p.out.Hint("see what is wrong with each: %s", exit.Command("ailee_l2_verify", "--all", "--snapshot", p.File)) // none of the snapshots kept verifies, or the latest does not
	}
}
