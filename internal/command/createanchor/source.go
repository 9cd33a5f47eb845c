package createanchor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
	"ailee-recovery/snapshot/statejson"
)

// source is the state to anchor.
type source struct {
	in      *input.Input
	state   *snapshot.Builder // from a state in JSON; nil for a snapshot file
	checker *snapshot.Checker
	r       io.ReaderAt // the report's offsets are in this
	report  *snapshot.Report
	same    bool // the state is read from the very file that is appended to
}

// load reads the state file, in whichever format it is.
func (a *anchoring) load(ctx context.Context) error {
	in, err := input.Open(ctx, a.StateFile, a.out.In)
	if err != nil {
		return err
	}
	a.source.in = in
	content := bufio.NewReaderSize(in, 64<<10)
	start, err := content.Peek(input.StartLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if input.IsJSON(start) {
		return a.loadJSON(ctx, content)
	}
	return a.loadSnapshot(ctx, content)
}

func (a *anchoring) loadJSON(ctx context.Context, r io.Reader) error {
	state, err := statejson.Read(ctx, r)
	if err != nil {
		return err
	}
	text, err := state.Text(nil)
	if err != nil {
		return err
	}
	// The state is already in memory: there is nothing left to limit.
	a.source.state, a.source.checker = state.Builder, snapshot.NewChecker(snapshot.NewMemory(math.MaxInt64))
	if err := a.check(ctx, text, text.Located()); err != nil {
		return err
	}
	return a.checkRounded(state)
}

// unroundedHint says how to get a state in which no program has rounded the numbers.
const unroundedHint = "extract the state again, which writes large numbers as strings: ailee_extract_snapshots --format json FILE DIR"

// checkRounded refuses a state that another program seems to have changed: its root is not
// the one in its anchor, and some of its numbers look rounded.
func (a *anchoring) checkRounded(state statejson.Decoded) error {
	switch {
	case state.Rounded == "":
	case state.Anchor == nil:
		a.out.Warn("%s: %s looks rounded by a program that holds numbers as doubles: compare it with the node's", a.StateFile, state.Rounded)
	case state.Anchor.L2StateRoot != a.source.report.Root:
		return exit.WrongData(unroundedHint+"; to anchor this state as it is, set its anchor to null",
			fmt.Errorf("%s: its state root is %s, but its anchor has %s: most likely a program that holds numbers as doubles has rounded large ones, such as %s",
				a.StateFile, a.source.report.Root, state.Anchor.L2StateRoot, state.Rounded))
	}
	return nil
}

func (a *anchoring) check(ctx context.Context, r io.ReaderAt, l snapshot.Located) (err error) {
	a.source.r = r
	a.source.report, err = a.source.checker.Check(ctx, r, l)
	return err
}

// loadSnapshot loads the snapshot that a node would load.
func (a *anchoring) loadSnapshot(ctx context.Context, content io.Reader) error {
	a.source.checker = snapshot.NewChecker(a.Memory())
	latest, err := snapshottool.FindLatest(a.source.in, content)
	if err != nil {
		return snapshottool.Reader{Reads: []string{snapshottool.JSON}}.Unless(err, a.source.in)
	}
	return a.check(ctx, latest.Reader, latest.Located)
}

// anchored returns the state with its new anchor, ready to be written.
func (a *anchoring) anchored(ctx context.Context) (io.WriterTo, error) {
	if a.source.state != nil {
		return a.source.state.Text(a.anchor)
	}
	return a.source.checker.Anchored(ctx, a.source.r, a.source.report, a.anchor), nil
}

// readFrom reads the snapshot through f from now on, if f is the file it came from. The
// source's own descriptor is closed, since it would keep [lease.AwaitAlone] from succeeding.
func (s *source) readFrom(f *os.File) error {
	if s.state != nil || !s.in.Seekable {
		return nil
	}
	mine, err := s.in.Stat()
	if err != nil {
		return err
	}
	theirs, err := f.Stat()
	if err != nil || !os.SameFile(mine, theirs) {
		return err
	}
	s.same, s.r = true, io.NewSectionReader(f, s.in.Base, s.in.Size)
	return s.in.Close()
}

// explainInput adds the file, exit code and hint to an error from reading it.
func (a *anchoring) explainInput(err error) error {
	hint := snapshottool.ReadHint(err)
	var known *exit.Error
	var wrong *statejson.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, statejson.ErrRounded):
		hint = unroundedHint
	case errors.As(err, &wrong):
		hint = "make a state file that this tool can read: ailee_extract_snapshots --format json FILE DIR"
	case errors.Is(err, snapshot.ErrNoSnapshot):
		err = fmt.Errorf("neither a state in JSON nor a snapshot file: %w", err)
		hint = "make a state file from a snapshot: ailee_extract_snapshots --newest-valid --format json FILE DIR"
	}
	return exit.Fail(hint, fmt.Errorf("%s: %w", a.StateFile, err)) // FILE is not a state in JSON and has no complete snapshot
}
