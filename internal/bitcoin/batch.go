package bitcoin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/workers"
)

const (
	// batchSize is how many calls one request carries. Bitcoin Core builds the whole answer to
	// a batch in memory; beyond about 1,000 calls it gets no faster.
	batchSize = 1000
	// inFlight is how many requests are made at the same time. Bitcoin Core answers four at a
	// time by default: one is left for others.
	inFlight = 3
	// maxMessage is how much of a node's error message is kept, in bytes.
	maxMessage = 500
)

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// answer is the answer to one call.
type answer struct {
	Result json.RawMessage   `json:"result"`
	Error  *btcjson.RPCError `json:"error"`
	ID     json.RawMessage   `json:"id"`
}

// fault returns the node's error, or an error if the answer is malformed.
func (a *answer) fault() error {
	switch {
	case a.Error != nil:
		a.Error.Message = a.Error.Message[:min(len(a.Error.Message), maxMessage)]
		return a.Error
	case a.Result == nil:
		return fmt.Errorf("%w: neither a result nor an error", ErrBadAnswer)
	}
	return nil
}

// decode decodes all of text into v.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return badJSON(err)
	}
	return decodeEnd(d)
}

// decodeEnd refuses anything after the one value.
func decodeEnd(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one JSON value", ErrBadAnswer)
	}
	return nil
}

// badJSON converts an error of the JSON decoder, whose own words may repeat what was sent.
func badJSON(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errTruncated
	case errors.As(err, &kind):
		return fmt.Errorf("%w: %s where %s should be", ErrBadAnswer, kind.Value, kind.Type)
	}
	return fmt.Errorf("%w: %w", ErrBadAnswer, err)
}

// decodeAnswer returns the result in the answer to the call with the given id.
func decodeAnswer(text []byte, id uint64) (json.RawMessage, error) {
	var a answer
	if err := decode(text, &a); err != nil {
		return nil, err
	}
	if err := a.fault(); err != nil {
		return nil, err
	}
	if string(a.ID) != strconv.FormatUint(id, 10) {
		return nil, fmt.Errorf("%w: it answers another call", ErrBadAnswer)
	}
	return a.Result, nil
}

func decodeResult(text json.RawMessage, result any) error {
	if result == nil {
		return nil
	}
	if _, raw := result.(*json.RawMessage); !raw && string(text) == "null" {
		return fmt.Errorf("%w: no result", ErrBadAnswer)
	}
	return decode(text, result)
}

// batch calls a method n times in one request. param appends the JSON of call i's parameter, and
// is called in order; read reads the answers to the calls, whose ids start at first.
func (c *Client) batch(ctx context.Context, method string, n int, param func(b []byte, i int) []byte, read func(text []byte, first uint64) error) error {
	// Ids are never reused, so that a late answer to another batch cannot be taken for one of
	// ours.
	first := c.ids.Add(uint64(n)) - uint64(n) + 1
	call := `,"method":"` + method + `","params":[`
	body := make([]byte, 0, n*96)
	id := newCounter(first)
	for i := range n {
		body = append(body, `,{"jsonrpc":"1.0","id":`...)
		body = append(body, id...)
		id.next()
		body = append(body, call...)
		body = append(param(body, i), "]}"...)
	}
	body[0] = '['
	body = append(body, ']')

	return c.retried(ctx, method, func(ctx context.Context) error {
		err := c.post(ctx, c.kept, body, func(text []byte) error { return read(text, first) })
		var status *StatusError
		if errors.As(err, &status) && slices.Contains(batchStatuses, status.Code) {
			err = &batchError{n, err}
		}
		return err
	})
}

// counter is a decimal number that counts up many times as fast as each number is formatted.
type counter []byte

func newCounter(n uint64) counter { return strconv.AppendUint(nil, n, 10) }

func (c *counter) next() {
	digits := *c
	for i := len(digits) - 1; i >= 0; i-- {
		if digits[i] != '9' {
			digits[i]++
			return
		}
		digits[i] = '0'
	}
	*c = append(digits, '0')
	(*c)[0] = '1'
}

// batchStatuses are the HTTP statuses of servers that accept no batch, or none of that size.
var batchStatuses = []int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusNotImplemented}

// batchError says that a batch was refused, for being a batch or for its size.
type batchError struct {
	calls int
	err   error
}

func (e *batchError) Error() string { return fmt.Sprintf("a batch of %d calls: %v", e.calls, e.err) }
func (e *batchError) Unwrap() error { return e.err }

// inParts makes n calls: batch makes the calls [from, to), single makes one call. If a batch is
// refused, this client uses smaller ones from then on, down to single calls.
func (c *Client) inParts(n int, batch func(from, to int) error, single func(i int) error) error {
	for from := 0; from < n; {
		limit := c.batches.Load()
		if limit == 1 {
			if err := single(from); err != nil {
				return err
			}
			from++
			continue
		}
		to := min(from+int(limit), n)
		err := batch(from, to)
		var refused *batchError
		switch {
		case errors.As(err, &refused):
			if c.batches.CompareAndSwap(limit, smaller(to-from)) {
				c.outages.say("batches", fmt.Sprintf("%s: %v: asking for fewer at a time, which takes longer", c.name, refused))
			}
		case err != nil:
			return err
		default:
			from = to
		}
	}
	return nil
}

// smaller returns the next batch size after one was refused: what servers allow is usually a
// round number.
func smaller(size int) int64 {
	switch {
	case size > 100:
		return 100
	case size > 10:
		return 10
	}
	return 1
}

// decodeBatch puts the answers to the calls [first, first+n) in order. There must be one for
// each, and nothing else. An error inside is left to its call, unless the node is still
// starting, or it comes from a proxy in front of the node, usually because of a limit.
// decodeBatch keeps no more than n answers, however many came.
func decodeBatch(text []byte, first uint64, n int) ([]answer, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if opening, err := d.Token(); err != nil {
		return nil, badJSON(err)
	} else if opening != json.Delim('[') {
		// A server that refuses a whole batch answers as it would a single call.
		var whole answer
		if err := decode(text, &whole); err != nil {
			return nil, err
		}
		if err := whole.fault(); err != nil {
			if whole.Error != nil && whole.Error.Code != btcjson.ErrRPCInWarmup {
				err = &batchError{n, err}
			}
			return nil, err
		}
		return nil, fmt.Errorf("%w: one result for a batch", ErrBadAnswer)
	}
	ordered := make([]answer, n)
	count := 0
	for ; d.More(); count++ {
		var a answer
		if err := d.Decode(&a); err != nil {
			return nil, badJSON(err)
		}
		id, err := strconv.ParseUint(string(a.ID), 10, 64)
		switch i := id - first; {
		case err != nil || id < first || i >= uint64(n):
			return nil, fmt.Errorf("%w: a batch with an answer to another call", ErrBadAnswer)
		case ordered[i].ID != nil:
			return nil, fmt.Errorf("%w: a batch with two answers to one call", ErrBadAnswer)
		case a.Error != nil && a.Error.Code == btcjson.ErrRPCInWarmup:
			return nil, a.fault()
		case a.Error != nil && !ofBitcoin(a.Error.Code) && !notInChain(a.Error):
			return nil, &batchError{n, a.fault()}
		default:
			ordered[i] = a
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, badJSON(err)
	}
	if count < n {
		return nil, fmt.Errorf("%w: a batch of %d calls with %d answers", ErrBadAnswer, n, count)
	}
	return ordered, decodeEnd(d)
}

// scanHashes reads a batch of answers that are all hashes, in order, and written exactly as
// a node writes them, many times as fast as [decodeBatch]. It returns the hashes one after
// the other. plain is false if the batch is anything else.
func scanHashes(text []byte, first uint64, n int) (hashes []byte, plain bool) {
	const (
		ofCore = `{"result":"`                 // Bitcoin Core
		ofBtcd = `{"jsonrpc":"1.0","result":"` // btcd
		after  = `","error":null,"id":`        // in both
	)
	hashes = make([]byte, 0, n*hashLength)
	id := newCounter(first)
	before := byte('[')
	for range n {
		if len(text) == 0 || text[0] != before {
			return nil, false
		}
		before = ','
		rest, ok := bytes.CutPrefix(text[1:], []byte(ofCore))
		if !ok {
			rest, ok = bytes.CutPrefix(rest, []byte(ofBtcd))
		}
		end := hashLength + len(after) + len(id)
		if !ok || len(rest) <= end || string(rest[hashLength:][:len(after)]) != after ||
			string(rest[end-len(id):end]) != string(id) || rest[end] != '}' || !IsHash(rest[:hashLength]) {
			return nil, false
		}
		hashes = append(hashes, rest[:hashLength]...)
		text = rest[end+1:]
		id.next()
	}
	return hashes, string(bytes.TrimRight(text, "\r\n")) == "]"
}

// pipelined fetches the items [from, to], several batches at a time, and visits
// them in ascending order. fetch returns the items [lo, hi], or those before the
// first that failed, with its error.
func pipelined[T any](ctx context.Context, from, to int64, fetch func(ctx context.Context, lo, hi int64) ([]T, error), visit func(i int64, item T) error) error {
	return inBatches(ctx, from, to, fetch, func(i int64, items []T) error {
		for _, item := range items {
			if err := visit(i, item); err != nil {
				return err
			}
			i++
		}
		return nil
	})
}

// inBatches is pipelined with a call for each batch, first being its lowest item.
func inBatches[B any](ctx context.Context, from, to int64, fetch func(ctx context.Context, lo, hi int64) (B, error), visit func(first int64, batch B) error) error {
	batches := func(yield func(int64, error) bool) {
		for lo := from; lo <= to; lo += batchSize {
			if !yield(lo, nil) {
				return
			}
		}
	}
	fetcher := func() workers.Worker[int64, B] {
		return func(ctx context.Context, lo int64) iter.Seq2[B, error] {
			return func(yield func(B, error) bool) {
				batch, err := fetch(ctx, lo, min(lo+batchSize-1, to))
				if yield(batch, nil) && err != nil {
					var none B
					yield(none, err)
				}
			}
		}
	}
	first := from
	for batch, err := range workers.Ordered(ctx, inFlight, 1, batches, fetcher) {
		if err != nil {
			return err
		}
		if err := visit(first, batch); err != nil {
			return err
		}
		first += batchSize // a batch that ends early ends with an error
	}
	return nil
}
