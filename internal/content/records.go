package content

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"ailee-recovery/internal/spill"
	"ailee-recovery/reorgdb"
)

// Anchor is an anchor record that a database holds.
type Anchor struct {
	Hash        string // from its key
	Status      reorgdb.AnchorStatus
	BroadcastMs uint64 // Unix milliseconds
	Height      uint64 // Bitcoin height, 0 if unknown
}

// EventDigest is a reorg event that a database holds, identified by its content: its id may
// differ in another database.
type EventDigest struct {
	SHA256     [sha256.Size]byte // of its record
	ID         uint64
	Height     uint64
	DetectedAt uint64 // Unix seconds
}

// records holds the anchors, events and heights of a database.
type records struct {
	anchors *rows         // in the order of the hashes
	events  *spill.Sorter // sha256, id, height, detected at
	heights *spill.Store  // ranges: first, last
	open    [2]uint64     // the last range, not yet in heights
	any     bool          // open is set
}

const (
	eventSize = sha256.Size + 3*numberSize
	rangeSize = 2 * numberSize
)

func newRecords(tempDir string) *records {
	return &records{anchors: &rows{newFile: newFile(tempDir)}, events: spill.NewSorter(eventSize, newFile(tempDir)),
		heights: spill.NewStore(rangeSize, newFile(tempDir))}
}

func (r *records) close() error {
	return errors.Join(r.anchors.close(), r.events.Close(), r.heights.Close())
}

func (r *records) addAnchor(a Anchor) error {
	buf := binary.AppendUvarint(nil, uint64(len(a.Hash)))
	buf = append(buf, a.Hash...)
	buf = binary.AppendVarint(buf, int64(a.Status))
	buf = binary.AppendUvarint(buf, a.BroadcastMs)
	return r.anchors.add(binary.AppendUvarint(buf, a.Height))
}

func (r *records) addEvent(e EventDigest) error {
	buf := append([]byte(nil), e.SHA256[:]...)
	for _, n := range []uint64{e.ID, e.Height, e.DetectedAt} {
		buf = binary.BigEndian.AppendUint64(buf, n)
	}
	return r.events.Add(buf)
}

// addHeight adds a height. Heights must ascend.
func (r *records) addHeight(height uint64) error {
	if r.any && height == r.open[1]+1 {
		r.open[1] = height
		return nil
	}
	if err := r.endRange(); err != nil {
		return err
	}
	r.any, r.open = true, [2]uint64{height, height}
	return nil
}

func (r *records) endRange() error {
	if !r.any {
		return nil
	}
	buf := binary.BigEndian.AppendUint64(nil, r.open[0])
	r.any = false
	return r.heights.Add(binary.BigEndian.AppendUint64(buf, r.open[1]))
}

// ranges yields the ranges of heights: the first and last height of each.
func (r *records) ranges() iter.Seq2[[2]uint64, error] {
	return func(yield func([2]uint64, error) bool) {
		reader := r.heights.From(0, r.heights.Len())
		for {
			rec, err := reader.Next()
			if rec == nil && err == nil {
				return
			}
			var pair [2]uint64
			if err == nil {
				pair = [2]uint64{binary.BigEndian.Uint64(rec), binary.BigEndian.Uint64(rec[numberSize:])}
			}
			if !yield(pair, err) || err != nil {
				return
			}
		}
	}
}

// AnchorRecords yields the anchors that a node can read, in the order of their hashes. The
// iteration ends after an error.
func (d *Database) AnchorRecords() iter.Seq2[Anchor, error] {
	return func(yield func(Anchor, error) bool) {
		in := d.records.anchors.reader()
		for {
			a, err := readAnchor(in)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// readAnchor reads what addAnchor wrote. It returns [io.EOF] at the end.
func readAnchor(in *bufio.Reader) (a Anchor, err error) {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return a, err
	}
	hash := make([]byte, size)
	_, err = io.ReadFull(in, hash)
	status, err2 := binary.ReadVarint(in)
	broadcast, err3 := binary.ReadUvarint(in)
	height, err4 := binary.ReadUvarint(in)
	for _, err := range []error{err, err2, err3, err4} {
		if err != nil {
			return a, fmt.Errorf("read a temporary file: %w", err)
		}
	}
	return Anchor{string(hash), reorgdb.AnchorStatus(status), broadcast, height}, nil
}

// Anchor returns the record of an anchor by its hash. It reads all anchors: to look up many,
// use [Database.AnchorRecords].
func (d *Database) Anchor(hash string) (a Anchor, ok bool, err error) {
	for a, err := range d.AnchorRecords() {
		if err != nil || a.Hash == hash {
			return a, err == nil, err
		}
	}
	return Anchor{}, false, nil
}

// EventDigests yields the reorg events in the order of their digests, once each. The
// iteration ends after an error.
func (d *Database) EventDigests() iter.Seq2[EventDigest, error] {
	return func(yield func(EventDigest, error) bool) {
		var last EventDigest
		any := false
		for rec, err := range d.records.events.Sorted() {
			if err != nil {
				yield(EventDigest{}, err)
				return
			}
			rest := rec[sha256.Size:]
			e := EventDigest{[sha256.Size]byte(rec), uint64(number(rest)), uint64(number(rest[numberSize:])), uint64(number(rest[2*numberSize:]))}
			if any && e.SHA256 == last.SHA256 {
				continue
			}
			any, last = true, e
			if !yield(e, nil) {
				return
			}
		}
	}
}

// rows holds rows of any length in the order in which they were added: in memory while they
// are few, and then in a file.
type rows struct {
	newFile spill.NewFile
	file    *os.File
	written int64
	held    bytes.Buffer
}

// rowsInMemory is how many bytes of rows are held in memory.
const rowsInMemory = 1 << 20

func (r *rows) add(row []byte) error {
	r.held.Write(row)
	if r.held.Len() < rowsInMemory {
		return nil
	}
	if r.file == nil {
		var err error
		if r.file, err = r.newFile(); err != nil {
			return err
		}
	}
	n, err := r.file.WriteAt(r.held.Bytes(), r.written)
	r.written += int64(n)
	r.held.Reset()
	return err
}

// reader returns a reader of all rows. No row may be added while it is in use.
func (r *rows) reader() *bufio.Reader {
	held := bytes.NewReader(r.held.Bytes())
	if r.file == nil {
		return bufio.NewReader(held)
	}
	return bufio.NewReaderSize(io.MultiReader(io.NewSectionReader(r.file, 0, r.written), held), 64<<10)
}

func (r *rows) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// recordsHead is the first line of what [Database.SaveRecords] writes.
const recordsHead = "ailee-records 1 "

// SaveRecords writes the anchors and the digests of the events as text: first a line with
// "ailee-records 1" and SHA256, then a line for each,
//
//	anchor HASH STATUS BROADCAST HEIGHT
//	event SHA256 ID HEIGHT DETECTED
//
// with the hash of an anchor quoted as in Go, and last a line with "end".
func (d *Database) SaveRecords(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s%s\n", recordsHead, d.SHA256)
	for a, err := range d.AnchorRecords() {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "anchor %q %d %d %d\n", a.Hash, a.Status, a.BroadcastMs, a.Height)
	}
	for e, err := range d.EventDigests() {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "event %x %d %d %d\n", e.SHA256, e.ID, e.Height, e.DetectedAt)
	}
	fmt.Fprintln(out, "end")
	return out.Flush()
}

// ErrRecords says that the input of [LoadRecords] was not written by [Database.SaveRecords],
// or is incomplete.
var ErrRecords = errors.New("not a complete list of anchors and events")

// LoadRecords reads what [Database.SaveRecords] wrote. The database that it returns has only
// the digest, the anchors and the events. The error wraps [ErrRecords], or is one of reading.
func LoadRecords(ctx context.Context, r io.Reader, tempDir string) (d *Database, err error) {
	d = &Database{Anchors: map[reorgdb.AnchorStatus]int64{}, Families: map[string]int64{}, records: newRecords(tempDir)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
			d = nil
		}
	}()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	whole := false
	for n := 0; lines.Scan(); n++ {
		line := lines.Text()
		if n%4096 == 0 && ctx.Err() != nil {
			return d, ctx.Err()
		}
		switch {
		case whole:
			return d, ErrRecords
		case n == 0:
			sum, ok := strings.CutPrefix(line, recordsHead)
			if !ok {
				return d, ErrRecords
			}
			d.SHA256 = sum
		case line == "end":
			whole = true
		default:
			if err := d.parseRecord(line); err != nil {
				return d, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return d, err
	}
	if !whole {
		return d, ErrRecords
	}
	return d, nil
}

func (d *Database) parseRecord(line string) error {
	var kind string
	var numbers [3]uint64
	var status int32
	if _, err := fmt.Sscanf(line, "event %s %d %d %d", &kind, &numbers[0], &numbers[1], &numbers[2]); err == nil {
		sum, err := hex.DecodeString(kind)
		if err != nil || len(sum) != sha256.Size {
			return ErrRecords
		}
		d.Events++
		return d.records.addEvent(EventDigest{[sha256.Size]byte(sum), numbers[0], numbers[1], numbers[2]})
	}
	rest, ok := strings.CutPrefix(line, "anchor ")
	quoted, err := strconv.QuotedPrefix(rest)
	if !ok || err != nil {
		return ErrRecords
	}
	hash, err := strconv.Unquote(quoted)
	if err != nil {
		return ErrRecords
	}
	if _, err := fmt.Sscanf(rest[len(quoted):], " %d %d %d", &status, &numbers[0], &numbers[1]); err != nil {
		return ErrRecords
	}
	d.AnchorCount++
	d.Anchors[reorgdb.AnchorStatus(status)]++
	return d.records.addAnchor(Anchor{hash, reorgdb.AnchorStatus(status), numbers[0], numbers[1]})
}

// unixTime converts the time of a record. It returns zero if the time is out of range.
func unixTime(ms uint64) time.Time {
	if ms > maxMs {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

func unixSeconds(s uint64) time.Time {
	if s > maxMs/1000 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// maxMs is the last millisecond of the year 9999.
const maxMs = 253402300799999
