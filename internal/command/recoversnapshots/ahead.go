package recoversnapshots

import (
	"context"
	"os"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/workers"
)

// ahead copies the start of the first source to OUT while that source is still being
// checked, as far as there is nothing between its snapshots. Whatever the plan then orders
// differently is cut off again. Checking and copying overlap, so that recovering a sound file
// takes hardly longer than copying it.
type ahead struct {
	file   *os.File
	source *source
	ctx    context.Context

	start, checked int64 // of what may be copied from the source; start is -1 before there is anything
	stopped        bool  // what follows cannot be copied as it is
	told           int64 // the offset up to which the copying goroutine was told to copy

	until  chan int64
	ended  <-chan error
	copied int64 // bytes from start; valid once ended
}

// aheadStep is how much is checked before more is copied, in bytes.
const aheadStep = 8 << 20

func startAhead(ctx context.Context, file *os.File, s *source) *ahead {
	a := &ahead{file: file, source: s, ctx: ctx, start: -1, until: make(chan int64, 1)}
	a.ended = workers.Start(a.run)
	return a
}

// run copies up to the offsets that it is told.
func (a *ahead) run() error {
	for until := range a.until {
		from := a.start + a.copied
		if err := durable.CopyRange(a.ctx, a.file, a.source.in.File, a.source.in.Base+from, until-from, func(n int64) { a.copied += n }); err != nil {
			return err
		}
	}
	return nil
}

// add notes the next record of a source, in file order.
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
	case <-a.until: // replace an offset that was not received yet
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

// keep keeps what was copied as far as it is the start of the first span, cuts off the rest,
// and returns the number of bytes kept.
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
