package l2verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// Run verifies. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	// Opening the report may make root become another user, who cannot open these.
	in, inErr := input.Open(ctx, o.Snapshot, out.In)
	if inErr == nil {
		defer in.Close()
	}
	node := sync.OnceValues(func() (*bitcoin.Client, error) { return bitcoin.Open(o.Proof.Bitcoin, out.Warn) })
	if o.AnchorTx != "" && o.JUnit != "" {
		_, _ = node() // asked for again when there is something to prove
	}
	report, err := openJUnit(o, out)
	if err != nil {
		return err
	}
	defer report.abort()
	v := &verifier{Options: o, out: out, in: in, memory: o.Memory(), report: report, node: node}
	return report.finish(ctx, v.run(ctx, inErr))
}

func (v *verifier) run(ctx context.Context, err error) error {
	in, o, out := v.in, v.Options, v.out
	switch {
	case errors.Is(err, syscall.EISDIR):
		return notLoaded(o, out, "No snapshots found in file", "name the snapshot file in it: "+exit.Command("--snapshot", filepath.Join(o.Snapshot, snapshot.FileName)), err)
	case err != nil && ctx.Err() == nil:
		return notLoaded(o, out, "Failed to open snapshot file", snapshottool.ReadHint(err), err)
	case err != nil:
		return err
	}
	v.judge = snapshot.Judge{Checker: snapshot.NewChecker(v.memory), AcceptEarlierAnchors: o.AcceptEarlierAnchors}
	if o.AcceptEarlierAnchors && !in.Seekable {
		return exit.Failf("write the input to a file and verify that file",
			"%s: --accept-earlier-anchors reads backward, which a pipe cannot", o.Snapshot)
	}
	if o.All {
		err = v.all(ctx)
	} else {
		err = v.latest(ctx)
	}
	v.warnOfForeign(err)
	return v.explain(err)
}

type verifier struct {
	Options
	out    *cli.IO
	in     *input.Input
	memory *snapshot.Memory
	judge  snapshot.Judge
	report *junit // nil if none was requested
	node   func() (*bitcoin.Client, error)
}

// explain adds the file and a hint to an error from reading it.
func (v *verifier) explain(err error) error {
	var known *exit.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return exit.Fail(snapshottool.ReadHint(err), fmt.Errorf("%s: %w", v.Snapshot, err))
}

// notLoaded says in the node's words why there is nothing to verify, and in our own
// words what the system reported.
func notLoaded(o Options, out *cli.IO, what, hint string, err error) error {
	nodeLine(out, out.Err, fmt.Sprintf("Failed to load snapshot: %s: %s", what, terminal.Text(o.Snapshot)))
	return exit.Fail(hint, err)
}

// nodeLine prints a line that the nodes' own verifier prints too, byte for byte, except on
// a terminal and for the names of files.
func nodeLine(out *cli.IO, w io.Writer, line string) {
	if out.JSON() {
		return
	}
	fmt.Fprintln(w, terminal.For(w, line))
}

// latest verifies the snapshot that a node would load.
func (v *verifier) latest(ctx context.Context) error {
	judged, r, outside, err := v.judgeLatest(ctx)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return v.nothingFound(outside)
	}
	if err != nil {
		return err
	}
	found := v.worthSaying(append(judged.Findings, outside...))
	proof, proofErr := v.prove(ctx, judged)
	if proofErr == nil {
		// Before anything is printed that an error of the report would contradict.
		err := v.report.add(ctx, v, r, judged, found, proof)
		if err = v.report.finish(ctx, err); err != nil {
			return err
		}
	}
	if v.out.JSON() && proofErr == nil {
		doc, err := v.document(ctx, r, judged, found)
		if err != nil {
			return err
		}
		doc.add(proof)
		v.out.Document(doc)
	} else if err := v.print(ctx, r, judged, v.Strict && len(found) > 0 || proofErr != nil || proof.failed()); err != nil {
		return err
	}
	if proofErr != nil {
		return proofErr
	}
	proof.print(v.out)
	if err := v.conclude(judged, found); err != nil || !proof.failed() {
		return err
	}
	return exit.WrongData(proof.hint, nil)
}

// judgeLatest judges the latest snapshot, whose bytes are in r, and finds what is outside
// of it.
func (v *verifier) judgeLatest(ctx context.Context) (judged snapshot.Judgement, r io.ReaderAt, outside []snapshot.Finding, err error) {
	if v.in.Seekable && !v.Strict {
		section := v.in.Section()
		if judged, err = v.judge.JudgeLatest(ctx, section, v.in.Size); err != nil && !errors.Is(err, snapshot.ErrNoSnapshot) {
			return judged, nil, nil, err
		}
		end := int64(0)
		if err == nil {
			end = judged.End()
		}
		outside, tailErr := snapshot.TailFindings(section, end, v.in.Size)
		return judged, section, outside, errors.Join(err, tailErr)
	}
	latest, outside, err := v.findLatest(ctx)
	if err != nil {
		return judged, nil, outside, err
	}
	judged, err = v.judge.Judge(ctx, latest.Reader, latest.Located)
	return judged, latest.Reader, outside, err
}

// findLatest finds the latest snapshot, and what is outside of it.
func (v *verifier) findLatest(ctx context.Context) (*snapshottool.Latest, []snapshot.Finding, error) {
	if v.in.Seekable && v.Strict {
		r := v.in.Section()
		located, outside, err := survey(ctx, r, v.in.Size)
		return &snapshottool.Latest{Located: located, Reader: r}, outside, err
	}
	latest, err := snapshottool.FindLatest(v.in, v.in)
	if err != nil && !errors.Is(err, snapshot.ErrNoSnapshot) {
		return latest, nil, err
	}
	outside, tailErr := latest.Outside()
	return latest, outside, errors.Join(err, tailErr)
}

// survey reads the whole file for what is outside any complete snapshot.
func survey(ctx context.Context, r io.ReaderAt, size int64) (latest snapshot.Located, outside []snapshot.Finding, err error) {
	var stray snapshottool.Stray
	err = snapshot.ErrNoSnapshot
	for l, lErr := range snapshot.Forward(r, size) {
		if lErr = errors.Join(lErr, ctx.Err()); lErr != nil {
			return latest, nil, lErr
		}
		if err := stray.BeforeIn(r, l, size); err != nil {
			return latest, nil, err
		}
		latest, err = l, nil
	}
	tail, tailErr := snapshot.TailFindings(r, latest.End(), size)
	return latest, append(stray.Findings(), tail...), errors.Join(err, tailErr)
}

// nothingFound returns the outcome for a file without a complete snapshot.
func (v *verifier) nothingFound(outside []snapshot.Finding) error {
	nodeLine(v.out, v.out.Err, "Failed to load snapshot: No snapshots found in file: "+terminal.Text(v.Snapshot))
	for _, f := range v.worthSaying(outside) {
		v.out.Warn("%s", f)
	}
	if f := v.foreign(); f != nil {
		return exit.Fail(f.Hint, f)
	}
	hint := snapshottool.RestoreHint(v.Snapshot)
	var err error
	if v.out.JSON() {
		err = fmt.Errorf("%s: %w", v.Snapshot, snapshot.ErrNoSnapshot)
	}
	if v.in.Seekable && v.in.Size > 0 {
		hint = "see what can be recovered: " + exit.Command("ailee_recover_snapshots", "--dry-run", v.Snapshot, "OUT")
	}
	return exit.Fail(hint, err) // no complete snapshot
}

// foreign returns what the file is instead of a snapshot file, or nil if it may be one.
func (v *verifier) foreign() *snapshottool.Foreign {
	again := []string{Name}
	if v.All {
		again = append(again, "--all")
	}
	return snapshottool.Reader{Command: append(again, "--snapshot", "-")}.Foreign(v.in)
}

// warnOfForeign warns that the file is not a snapshot file if a node found snapshots in it
// all the same. The warning comes after the lines of the nodes' verifier.
func (v *verifier) warnOfForeign(err error) {
	if errors.As(err, new(*snapshottool.Foreign)) {
		return // err already says so
	}
	if f := v.foreign(); f != nil {
		v.out.Warn("%s", f)
		v.out.Hint("%s", f.Hint)
	}
}

// worthSaying selects the findings that the options ask for: with --strict, those that
// fail.
func (v *verifier) worthSaying(all []snapshot.Finding) []snapshot.Finding {
	var found []snapshot.Finding
	for _, f := range all {
		if f.Kind.Matters() || v.Strict && f.Kind.Fails() {
			found = append(found, f)
		}
	}
	return found
}

// remarks selects the findings that never fail, which only a JSON document has.
func remarks(all []snapshot.Finding) []snapshot.Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f snapshot.Finding) bool { return f.Kind.Fails() })
}

// print prints the lines of the nodes' verifier. A snapshot that fails only an additional
// check that was requested is not called OK.
func (v *verifier) print(ctx context.Context, r io.ReaderAt, judged snapshot.Judgement, failed bool) error {
	return v.say(ctx, r, judged, failed,
		func(line string) { v.out.Printf("%s\n", terminal.For(v.out.Out, line)) },
		func(line string) { nodeLine(v.out, v.out.Err, line) })
}

// say passes on the lines of the nodes' verifier: those for standard output to say, those
// for standard error to complain.
func (v *verifier) say(ctx context.Context, r io.ReaderAt, judged snapshot.Judgement, failed bool, say, complain func(line string)) error {
	say("Computed L2StateRoot: " + judged.Root)
	switch judged.AnchorVerdict {
	case snapshot.AnchorHolds:
		say("Anchor verified: " + judged.Anchor.Hash)
	case snapshot.AnchorMissing:
		complain("No anchor commitment present in snapshot.")
	case snapshot.AnchorRootMismatch:
		complain("Anchor verification failed: Anchor state root mismatch. expected=" + judged.Root + " anchor=" + judged.Anchor.L2StateRoot)
	case snapshot.AnchorHashMismatch:
		complain("Anchor verification failed: Anchor hash mismatch. expected=" + snapshot.AnchorHash(judged.Anchor.Payload) + " anchor=" + judged.Anchor.Hash)
	}
	for p, err := range v.judge.Problems(ctx, r, judged) {
		switch {
		case err != nil:
			return err
		case len(p.AnchorHash) == 0:
			complain("Peg-out " + string(p.PegID) + " missing anchor commitment hash.")
		default:
			complain("Peg-out " + string(p.PegID) + " anchor hash mismatch. expected=" + judged.Anchor.Hash + " got=" + string(p.AnchorHash))
		}
	}
	if judged.Verdict == snapshot.Valid && !failed {
		say("Verification OK.")
	}
	return nil
}

// conclude prints warnings and turns the verdict into the exit code, with the
// command to run next.
func (v *verifier) conclude(judged snapshot.Judgement, found []snapshot.Finding) error {
	strict := v.Strict && len(found) > 0
	torn, hidden := false, false
	for _, f := range found {
		if strict {
			v.out.Error("%s", f)
		} else {
			v.out.Warn("%s", f)
		}
		torn = torn || f.Kind == snapshot.TornTail || f.Kind == snapshot.MissingNewline
		hidden = hidden || f.Kind == snapshot.FusedHeader || f.Kind == snapshot.HiddenSnapshot
	}
	switch {
	case !v.in.Seekable && (judged.Verdict != snapshot.Valid || strict): // the latest snapshot of standard input is not valid
		return exit.WrongData("write the input to a FILE, then: ailee_l2_verify --all --snapshot FILE", nil)
	case hidden && (judged.Verdict != snapshot.Valid || strict): // the latest snapshot is not valid, or --strict is given, and a torn line hides one
		return exit.WrongData(v.recoverHint(), nil)
	case judged.Verdict == snapshot.PegOutMismatch && !v.AcceptEarlierAnchors: // peg-out mismatch
		return exit.WrongData("check whether the peg-outs name earlier anchors of this file: "+
			exit.Command(Name, "--accept-earlier-anchors", "--snapshot", v.Snapshot), nil)
	case judged.Verdict != snapshot.Valid: // the latest snapshot is not valid
		return exit.WrongData("find the newest valid snapshot: "+exit.Command(Name, "--all", "--snapshot", v.Snapshot), nil)
	case strict && !torn: // the latest snapshot is valid, but has findings, with --strict
		return exit.WrongData("see which snapshots are affected: "+exit.Command(Name, "--all", "--strict", "--snapshot", v.Snapshot), nil)
	case strict: // FILE ends in an unfinished snapshot or line, with --strict
		return exit.WrongData(v.tidyHint(), nil)
	case hidden && v.in.Seekable: // a torn line hides a complete snapshot
		v.out.Hint("%s", v.recoverHint())
	case torn && v.in.Seekable: // FILE ends in an unfinished snapshot or line
		v.out.Hint("%s", v.tidyHint())
	}
	return nil
}

// recoverHint names the command that gets at a snapshot hidden by a torn line.
func (v *verifier) recoverHint() string {
	return "recover the snapshot that a torn line hides, with all others: " + exit.Command("ailee_recover_snapshots", v.Snapshot, "OUT")
}

// tidyHint names the command that removes a torn tail.
func (v *verifier) tidyHint() string {
	return "a node that appends to this would damage its next snapshot: remove what is unfinished: " +
		exit.Command("ailee_prune_snapshots", "--in-place", "--keep", "all", "--file", v.Snapshot)
}
