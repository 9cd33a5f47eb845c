package recoversnapshots

import (
	"context"
	"os"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/workers"
)

// ahead copies the start of the first source to OUT while that source is still being
// checked: as much of it as has nothing between its snapshots. What the plan then has in
// another order is taken back. Checking and the disk are busy at the same time, and a
// sound file takes hardly longer than a copy of it.
type ahead struct {
	file   *os.File
	source *source
	ctx    context.Context

	start, checked int64 // of the source: what may be copied; -1 before there is anything
	stopped        bool  // what follows is not for OUT as it is
	told           int64 // up to where the copying goroutine was told to go

	until  chan int64
	ended  <-chan error
	copied int64 // from start on, once ended
}

// aheadStep is how much is checked before more is copied, in bytes.
const aheadStep = 8 << 20

func startAhead(ctx context.Context, file *os.File, s *source) *ahead {
	a := &ahead{file: file, source: s, ctx: ctx, start: -1, until: make(chan int64, 1)}
	a.ended = workers.Start(a.run)
	return a
}

// run copies what it is told to.
func (a *ahead) run() error {
	for until := range a.until {
		from := a.start + a.copied
		if err := durable.CopyRange(a.ctx, a.file, a.source.in.File, a.source.in.Base+from, until-from, func(n int64) { a.copied += n }); err != nil {
			return err
		}
	}
	return nil
}

// add takes note of the next record of a source, in file order.
func (a *ahead) add(s *source, rec *record) {
	if a == nil || s != a.source || a.stopped {
		return
	}
	if a.start < 0 {
		a.start, a.checked, a.told = rec.offset, rec.offset, rec.offset
	}
	if rec.offset != a.checked || rec.flags&(newline|pending) != newline {
		a.stopped = true
		return
	}
	a.checked += rec.size()
	if a.checked-a.told < aheadStep {
		return
	}
	select {
	case <-a.until: // it was not there yet
	default:
	}
	a.until <- a.checked
	a.told = a.checked
}

// end waits for the copying goroutine.
func (a *ahead) end() error {
	if a == nil {
		return nil
	}
	close(a.until)
	if err := <-a.ended; err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	return nil
}

// keep keeps of what was copied what is the start of the first span, and returns how much
// that is.
func (a *ahead) keep(first span) (n int64, err error) {
	if first.source == 0 && first.offset == a.start {
		n = min(a.copied, first.size)
	}
	if n < a.copied {
		if err := a.file.Truncate(n); err != nil {
			return 0, err
		}
		_, err = a.file.Seek(n, 0)
	}
	return n, err
}
