package showsnapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"syscall"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// Run shows what was asked for. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	out.Buffer()
	s := &showing{Options: o, out: out, checker: snapshot.NewChecker(o.Memory())}
	return s.explain(s.run(ctx))
}

// showing is one run.
type showing struct {
	Options
	out     *cli.IO
	in      *input.Input
	checker *snapshot.Checker

	r          io.ReaderAt // has the snapshot's bytes
	judged     snapshot.Judgement
	unverified error // why its state root could not be computed
	outside    []snapshot.Finding
	count      uint64 // records shown
}

func (s *showing) run(ctx context.Context) (err error) {
	if s.in, err = input.Open(ctx, s.File, s.out.In); err != nil {
		return err
	}
	defer s.in.Close()
	if s.AcceptEarlierAnchors && !s.in.Seekable {
		return exit.Failf("write the input to a file and show that", "%s: --accept-earlier-anchors reads backward, which a pipe cannot", s.File)
	}
	located, err := s.find(ctx)
	if err != nil {
		return snapshottool.Reader{Command: []string{Name, "-"}}.Unless(err, s.in)
	}
	if err := s.judge(ctx, located); err != nil {
		return err
	}
	s.say()
	if err := s.show(ctx); err != nil {
		return err
	}
	return s.end()
}

// find finds the snapshot to show.
func (s *showing) find(ctx context.Context) (l snapshot.Located, err error) {
	if s.Index > 0 {
		l, s.r, err = snapshottool.FindNumbered(ctx, s.in, s.Index)
		return l, err
	}
	latest, err := snapshottool.FindLatest(s.in, s.in)
	if err != nil {
		return l, err
	}
	s.r = latest.Reader
	s.outside, err = latest.Outside()
	return latest.Located, err
}

// judge verifies the snapshot, as far as that is possible.
func (s *showing) judge(ctx context.Context, l snapshot.Located) (err error) {
	var large *snapshot.SectionTooLargeError
	s.judged, err = snapshot.Judge{Checker: s.checker, AcceptEarlierAnchors: s.AcceptEarlierAnchors}.Judge(ctx, s.r, l)
	if !errors.As(err, &large) {
		return err
	}
	s.unverified = err
	s.judged.Report, err = s.checker.Survey(ctx, s.r, l)
	return err
}

// valid reports whether the snapshot is known to verify.
func (s *showing) valid() bool { return s.unverified == nil && s.judged.Verdict == snapshot.Valid }

// say reports what is wrong with the snapshot.
func (s *showing) say() {
	switch {
	case s.unverified != nil:
		s.out.Warn("%s: the snapshot at byte %d could not be verified: it is shown as it is", s.File, s.judged.Offset)
	case !s.valid():
		s.out.Error("%s: the snapshot at byte %d does not verify: %s", s.File, s.judged.Offset, s.judged.Verdict)
	}
	for _, f := range s.findings() {
		s.out.Warn("%s: %s", s.File, f)
	}
}

// findings returns the findings that an operator should see.
func (s *showing) findings() (found []snapshot.Finding) {
	for _, all := range [][]snapshot.Finding{s.judged.Findings, s.outside} {
		for _, f := range all {
			if f.Kind.Matters() {
				found = append(found, f)
			}
		}
	}
	return found
}

// show prints what was asked for.
func (s *showing) show(ctx context.Context) error {
	if err := s.line(s.document()); err != nil {
		return err
	}
	switch {
	case s.Anchor:
		return s.anchor()
	case s.Totals:
		return s.totals(ctx)
	case len(s.Sections) > 0:
		return s.records(ctx)
	}
	s.overview()
	return s.out.OutErr()
}

// line prints a document if --json was given.
func (s *showing) line(doc any) error {
	if !s.out.JSON() {
		return nil
	}
	return s.out.Line(doc)
}

// each yields the records of one section that were asked for.
func (s *showing) each(ctx context.Context, section snapshot.Section) iter.Seq2[snapshot.Record, error] {
	if s.ID != "" {
		return s.checker.RecordsWith(ctx, s.r, s.judged.Report, section, []byte(s.ID))
	}
	return s.checker.Records(ctx, s.r, s.judged.Report, section)
}

// end reports the outcome.
func (s *showing) end() error {
	if s.unverified != nil {
		return s.unverified
	}
	var err error
	none := s.ID != "" && s.count == 0
	if none {
		err = fmt.Errorf("%s: the snapshot at byte %d has no record with %q", s.File, s.judged.Offset, s.ID)
	}
	switch {
	case !s.valid():
		err = exit.WrongData(s.verifyHint(), err)
	case none:
		err = exit.Fail("give the whole id, as it is in the file", err)
	}
	switch {
	case none: // the error is the last document
	case s.out.JSON():
		s.out.Document(endDocument{Count: s.count, ExitCode: exit.Code(err)})
	case s.count == 0 && len(s.Sections) > 0:
		s.out.Hint("there is nothing to show") // the list is empty
	}
	return err
}

// verifyHint names the command that says more about a snapshot that does not verify.
func (s *showing) verifyHint() string {
	switch {
	case !s.in.Seekable: // the snapshot of standard input does not verify
		return "write the input to a file, then: ailee_l2_verify --all --snapshot FILE"
	case s.judged.Verdict == snapshot.PegOutMismatch && !s.AcceptEarlierAnchors: // peg-out mismatch
		return "check whether the peg-outs name earlier anchors of this file: " +
			exit.Command("ailee_l2_verify", "--accept-earlier-anchors", "--snapshot", s.File)
	}
	return "find the newest valid snapshot: " + exit.Command("ailee_l2_verify", "--all", "--snapshot", s.File) // the snapshot does not verify
}

// explain adds the file, exit code and hint to an error from reading it.
func (s *showing) explain(err error) error {
	var known *exit.Error
	var missing *snapshottool.NoSuchError
	hint := snapshottool.ReadHint(err)
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case s.in == nil && errors.Is(err, syscall.EISDIR):
		return exit.Fail("name the snapshot file in it", err) // is a directory
	case s.in == nil:
		return exit.Fail(hint, err) // FILE cannot be opened
	case errors.Is(err, snapshot.ErrNoSnapshot) && s.in.Seekable && s.in.Size > 0:
		hint = "see what can be recovered: " + exit.Command("ailee_recover_snapshots", "--dry-run", s.File, "OUT")
	case errors.Is(err, snapshot.ErrNoSnapshot):
		hint = snapshottool.RestoreHint(s.File)
	case errors.As(err, &missing) && s.in.Seekable:
		hint = "list its snapshots: " + exit.Command("ailee_l2_verify", "--all", "--snapshot", s.File)
	}
	return exit.Fail(hint, fmt.Errorf("%s: %w", s.File, err)) // FILE has no such snapshot
}
