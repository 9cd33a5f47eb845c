package extractsnapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/snapshot"
)

// item is one file to be written.
type item struct {
	snapshot.Located
	format string
}

// name is the file's name in the folder.
func (i item) name() string {
	if i.Hidden {
		return fmt.Sprintf("salvaged_%d.%s", i.Index, i.format)
	}
	return fmt.Sprintf("snapshot_%d.%s", i.Index, i.format)
}

// bytes is the size of a file in FormatDat.
func (i item) bytes() int64 {
	if i.Newline() {
		return i.Size
	}
	return i.Size + 1
}

// plan says which files are written. The dry run and the real run share it. It has no
// list that grows without bound: there may be millions of snapshots.
type plan struct {
	Options
	r      io.ReaderAt
	size   int64
	memory *snapshot.Memory
	judge  snapshot.Judge

	total int64 // how many complete snapshots the file has
	end   int64 // of the last one
	// listed are the first complete snapshots, so that a file with no others need not be
	// searched again.
	listed   []snapshot.Located
	hidden   int64              // snapshots that no node can see
	salvaged []snapshot.Located // the sound ones among them, numbered from 1
}

// maxListed bounds plan.listed.
const maxListed = 1 << 16

// errNoneValid is the error of NewestValid if no snapshot verifies.
var errNoneValid = errors.New("no snapshot verifies")

// newPlan reads the file as far as the options need it.
func newPlan(ctx context.Context, o Options, r io.ReaderAt, size int64) (*plan, error) {
	p := &plan{Options: o, r: r, size: size, memory: o.Memory()}
	p.judge = snapshot.Judge{Checker: snapshot.NewChecker(p.memory), AcceptEarlierAnchors: o.AcceptEarlierAnchors}
	newest, err := p.newestValid(ctx)
	if err != nil {
		return nil, err
	}
	for l, err := range snapshot.Scan(r, size) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		if l.Hidden {
			if err := p.addHidden(ctx, l); err != nil {
				return nil, err
			}
			continue
		}
		p.total, p.end = l.Index, l.End()
		if len(p.listed) < maxListed {
			p.listed = append(p.listed, l)
		}
		if o.NewestValid && l.Offset == newest {
			p.Index = flags.Range{First: l.Index, Last: l.Index}
		}
	}
	if o.Last > 0 {
		p.Index.First = max(1, p.total-o.Last+1)
	}
	return p, nil
}

// newestValid returns the offset of the newest valid snapshot, if the options ask for
// it.
func (p *plan) newestValid(ctx context.Context) (int64, error) {
	if !p.NewestValid {
		return 0, nil
	}
	newest, err := p.judge.NewestValid(ctx, p.r, p.size)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return 0, p.noneValid()
	}
	if err != nil {
		return 0, err
	}
	return newest.Offset, nil
}

// noneValid distinguishes a file without a snapshot from one without a valid snapshot.
func (p *plan) noneValid() error {
	if _, err := snapshot.Latest(p.r, p.size); err != nil {
		return err
	}
	return errNoneValid
}

// addHidden counts a hidden snapshot. If salvaging was asked for and the snapshot is
// sound, it plans to salvage it.
func (p *plan) addHidden(ctx context.Context, l snapshot.Located) error {
	p.hidden++
	if !p.Salvage {
		return nil
	}
	report, err := p.judge.Check(ctx, p.r, l)
	// Only an anchor that holds proves that nothing is missing.
	if err != nil || !report.Holding() {
		return err
	}
	l.Index = int64(len(p.salvaged)) + 1
	p.salvaged = append(p.salvaged, l)
	return nil
}

// ordinary yields the complete snapshots of the file.
func (p *plan) ordinary() iter.Seq2[snapshot.Located, error] {
	if int64(len(p.listed)) < p.total {
		return snapshot.Forward(p.r, p.size)
	}
	return func(yield func(snapshot.Located, error) bool) {
		for _, l := range p.listed {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// items yields the files to be written.
func (p *plan) items() iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		for l, err := range p.ordinary() {
			if err == nil && l.Index < p.Index.First {
				continue
			}
			if err == nil && l.Index > p.Index.Last {
				break
			}
			if !yield(item{Located: l, format: p.Format}, err) || err != nil {
				return
			}
		}
		for _, l := range p.salvaged {
			if !yield(item{Located: l, format: p.Format}, nil) {
				return
			}
		}
	}
}

// chosen returns how many complete snapshots the plan takes.
func (p *plan) chosen() int64 {
	return max(0, min(p.Index.Last, p.total)-p.Index.First+1)
}
