package diffsnapshots

import (
	"bytes"
	"context"
	"iter"

	"ailee-recovery/internal/spill"
	"ailee-recovery/internal/workers"
	"ailee-recovery/snapshot"
)

// lines yields the records of a section as a node writes them, sorted by key, and lines with
// the same key by their bytes. A section that has another order in the file is sorted in a
// temporary file.
func (s *side) lines(ctx context.Context, section snapshot.Section) iter.Seq2[[]byte, error] {
	lines := s.checker.Lines(ctx, s.r, s.report, section)
	if s.report.InOrder(section) {
		return lines
	}
	return func(yield func([]byte, error) bool) {
		sorter := spill.NewLineSorter(newFile)
		defer sorter.Close()
		var sortable []byte
		for line, err := range lines {
			if err == nil {
				sortable = appendSortable(sortable[:0], line, section)
				err = sorter.Add(sortable)
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
		for sortable, err := range sorter.Sorted() {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(afterKey(sortable), err) || err != nil {
				return
			}
		}
	}
}

// endOfKey separates a key from the line after it. It sorts before anything that can follow
// in a longer key, since a zero byte in a key is followed by escapedZero.
const (
	endOfKey    = "\x00\x01"
	escapedZero = 0xff
)

// appendSortable appends the key and then the line, in bytes that sort in the order of the
// keys.
func appendSortable(dst, line []byte, section snapshot.Section) []byte {
	for _, b := range keyOf(line, section) {
		dst = append(dst, b)
		if b == 0 {
			dst = append(dst, escapedZero)
		}
	}
	return append(append(dst, endOfKey...), line...)
}

// afterKey returns the line in what appendSortable made.
func afterKey(sortable []byte) []byte {
	_, line, _ := bytes.Cut(sortable, []byte(endOfKey))
	return line
}

// keyOf returns the first field of a line that a node wrote, unescaped.
func keyOf(line []byte, section snapshot.Section) []byte {
	text := line[len(section.Tag())+2:]
	end := bytes.IndexByte(text, '"')
	if bytes.IndexByte(text[:end], '\\') < 0 {
		return text[:end]
	}
	var key []byte
	for i := 0; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
		key = append(key, text[i])
	}
	return key
}

// order compares two lines by their keys, and if these are equal, by their bytes.
func order(a, b []byte, section snapshot.Section) int {
	if bytes.Equal(a, b) {
		return 0
	}
	if byKey := bytes.Compare(keyOf(a, section), keyOf(b, section)); byKey != 0 {
		return byKey
	}
	return bytes.Compare(a, b)
}

// batchSize is how much of a section is read before it is handed over, in bytes.
const batchSize = 128 << 10

// batches is how many are read ahead.
const batches = 3

// batch holds some consecutive lines.
type batch struct {
	text []byte
	ends []int
}

// cursor returns one by one the lines that a goroutine reads ahead. It is not safe for
// concurrent use.
type cursor struct {
	full    <-chan *batch
	free    chan<- *batch
	cancel  context.CancelFunc
	ended   <-chan error
	current *batch
	at      int // index of the next line in current
	done    bool
	err     error
}

// start starts reading ahead. The cursor must be stopped.
func start(ctx context.Context, lines func(context.Context) iter.Seq2[[]byte, error]) *cursor {
	ctx, cancel := context.WithCancel(ctx)
	full, free := make(chan *batch), make(chan *batch, batches)
	for range batches {
		free <- &batch{}
	}
	ended := workers.Start(func() error {
		defer close(full)
		return readAhead(ctx, lines(ctx), full, free)
	})
	return &cursor{full: full, free: free, cancel: cancel, ended: ended}
}

func readAhead(ctx context.Context, lines iter.Seq2[[]byte, error], full chan<- *batch, free <-chan *batch) error {
	b := <-free
	handOver := func() error {
		select {
		case full <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case b = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.text, b.ends = b.text[:0], b.ends[:0]
		return nil
	}
	for line, err := range lines {
		if err != nil {
			return err
		}
		b.text = append(b.text, line...)
		if b.ends = append(b.ends, len(b.text)); len(b.text) < batchSize {
			continue
		}
		if err := handOver(); err != nil {
			return err
		}
	}
	return handOver()
}

// next returns the next line, which is valid until the next call; nil at the end.
func (c *cursor) next() ([]byte, error) {
	for c.current == nil || c.at == len(c.current.ends) {
		if c.current != nil {
			c.free <- c.current
		}
		if c.current, c.at = <-c.full, 0; c.current == nil {
			return nil, c.end()
		}
	}
	start := 0
	if c.at > 0 {
		start = c.current.ends[c.at-1]
	}
	c.at++
	return c.current.text[start:c.current.ends[c.at-1]], nil
}

// end waits for the reading to end, and returns its error.
func (c *cursor) end() error {
	if !c.done {
		c.done, c.err = true, <-c.ended
	}
	return c.err
}

// stop ends the reading and waits for it.
func (c *cursor) stop() {
	c.cancel()
	_ = c.end()
}
