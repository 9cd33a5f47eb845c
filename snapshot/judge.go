package snapshot

import (
	"context"
	"io"
	"iter"

	"ailee-recovery/internal/workers"
)

// Judge decides which snapshots are valid. Not safe for concurrent use.
type Judge struct {
	*Checker
	// AcceptEarlierAnchors accepts a peg-out that names the anchor of an earlier
	// snapshot in the same file whose own root and anchor hold. Nodes do not accept it.
	AcceptEarlierAnchors bool
}

// Judgement is a report with the verdict of a [Judge].
type Judgement struct {
	*Report
	Verdict Verdict
	// Accepted is the set of anchors of earlier snapshots that peg-outs may name.
	Accepted AnchorSet
}

// Judge reads and judges the snapshot at l. The errors are those of [Checker.Check] and
// *[TooManyAnchorsError].
func (j Judge) Judge(ctx context.Context, r io.ReaderAt, l Located) (Judgement, error) {
	rep, err := j.Check(ctx, r, l)
	if err != nil {
		return Judgement{}, err
	}
	return j.judge(ctx, r, rep)
}

// JudgeLatest is [Judge.Judge] for the snapshot that [Latest] finds. Its errors include
// those of Latest. If all or nearly all of the file turns out to be one large snapshot, it
// is checked while the search for a later one goes on: both read the whole file.
func (j Judge) JudgeLatest(ctx context.Context, r io.ReaderAt, size int64) (Judgement, error) {
	first := firstAhead{checker: j.Checker, r: r, size: size}
	l, err := latest(r, size, func(to int64) bool { return first.passed(ctx, to) })
	rep, panicked := first.end(l, err)
	if panicked != nil {
		err = panicked
	}
	if err != nil {
		return Judgement{}, err
	}
	if rep == nil {
		return j.Judge(ctx, r, l)
	}
	return j.judge(ctx, r, rep)
}

// The first snapshot is checked ahead if there is no header line in the last aheadAfter
// bytes of the file, or in the last 1/aheadPart of it if that is more.
const (
	aheadAfter = 32 << 20
	aheadPart  = 8
)

// firstAhead checks the snapshot that a file begins with, before it is known to be the latest.
type firstAhead struct {
	checker *Checker
	r       io.ReaderAt
	size    int64

	looked bool // it was checked whether the file begins with one
	cancel context.CancelFunc
	ended  <-chan error // nil if the check was not started
	report *Report
}

// passed is told that there is no header line at or after an offset. It reports whether
// the snapshot is being checked.
func (f *firstAhead) passed(ctx context.Context, to int64) bool {
	if f.looked || f.size-to < max(aheadAfter, f.size/aheadPart) {
		return f.ended != nil
	}
	f.looked = true
	header := make([]byte, headerSize)
	if to == 0 || readFull(f.r, header, 0) != nil || string(header) != HeaderLine+"\n" {
		return false
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.ended = workers.Start(func() error {
		// An error here will come back when the snapshot is checked again.
		for report, err := range f.checker.checkRange(ctx, f.r, 0, 1, f.size, 0) {
			if err == nil {
				f.report = report
			}
		}
		return nil
	})
	return true
}

// end returns the report if it is that of the latest snapshot, which is at l unless err is
// set. If it returns nil, the latest snapshot has still to be checked.
func (f *firstAhead) end(l Located, err error) (*Report, error) {
	if f.ended == nil {
		return nil, nil
	}
	if err != nil || l.Offset != 0 {
		f.cancel()
	}
	panicked := <-f.ended
	f.cancel()
	if f.report == nil || f.report.Located != l {
		return nil, panicked
	}
	return f.report, panicked
}

func (j Judge) judge(ctx context.Context, r io.ReaderAt, rep *Report) (Judgement, error) {
	if !j.AcceptEarlierAnchors || !rep.pegOutsDiffer() {
		return Judgement{Report: rep, Verdict: rep.Verdict()}, nil
	}
	named, err := j.anchorsNamed(ctx, r, rep)
	if err != nil {
		return Judgement{}, err
	}
	earlier, err := j.earlierAnchors(ctx, r, rep.Offset, 0, named)
	if err != nil {
		return Judgement{}, err
	}
	return j.Accept(ctx, r, rep, earlier)
}

// Accept judges a report, given the anchors of earlier snapshots that hold.
func (j Judge) Accept(ctx context.Context, r io.ReaderAt, rep *Report, earlier AnchorSet) (Judgement, error) {
	out := Judgement{Report: rep, Verdict: rep.Verdict(), Accepted: earlier}
	if out.Verdict != PegOutMismatch {
		return out, nil
	}
	for _, err := range j.Problems(ctx, r, out) {
		return out, err
	}
	out.Verdict = Valid
	return out, nil
}

// Problems is [Checker.PegOutProblems] without the accepted peg-outs.
func (j Judge) Problems(ctx context.Context, r io.ReaderAt, judged Judgement) iter.Seq2[PegOutProblem, error] {
	return func(yield func(PegOutProblem, error) bool) {
		for p, err := range j.PegOutProblems(ctx, r, judged.Report) {
			if err == nil && judged.Accepted.Has(p.AnchorHash) {
				continue
			}
			if !yield(p, err) {
				return
			}
		}
	}
}
