package snapshot

import (
	"context"
	"io"
	"iter"
)

// Judge decides which snapshots count as valid. Not safe for concurrent use.
type Judge struct {
	*Checker
	// AcceptEarlierAnchors accepts a peg-out that names the anchor of an earlier
	// snapshot of the same file whose own root and anchor hold. Nodes do not.
	AcceptEarlierAnchors bool
}

// Judgement is a report with the verdict of a [Judge].
type Judgement struct {
	*Report
	Verdict Verdict
	// Accepted are the anchors of earlier snapshots that peg-outs may name.
	Accepted AnchorSet
}

// Judge reads the snapshot at l. The errors are those of [Checker.Check] and
// *[TooManyAnchorsError].
func (j Judge) Judge(ctx context.Context, r io.ReaderAt, l Located) (Judgement, error) {
	rep, err := j.Check(ctx, r, l)
	if err != nil {
		return Judgement{}, err
	}
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

// Accept judges a report given the anchors of earlier snapshots that hold.
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

// Problems is [Checker.PegOutProblems] without the peg-outs that are accepted.
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
