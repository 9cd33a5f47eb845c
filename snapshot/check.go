package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"

	"golang.org/x/sync/semaphore"
)

// DefaultMaxMemory is how much memory checkers may use by default, in bytes.
const DefaultMaxMemory = 44 << 20

// Memory bounds what the checkers that share it use on top of a few buffers: for sorting
// sections, and for long lines, at most a sixteenth of the limit for each. Safe for
// concurrent use.
type Memory struct {
	limit int64 // bytes
	left  *semaphore.Weighted
}

// NewMemory returns a bound in bytes, 0 for [DefaultMaxMemory].
func NewMemory(limit int64) *Memory {
	if limit == 0 {
		limit = DefaultMaxMemory
	}
	return &Memory{limit: limit, left: semaphore.NewWeighted(limit)}
}

// maxLine is the longest line that is read.
func (m *Memory) maxLine() int { return int(min(max(m.limit/16, blockSize), 1<<30)) }

// Report is the result of reading one snapshot.
type Report struct {
	Located
	TimestampMs uint64 // Unix milliseconds
	Root        string // lower-case hex
	Counts      [sectionCount]uint64
	Anchor      *Anchor // nil if there is none
	// AnchorVerdict compares Anchor with Root.
	AnchorVerdict AnchorVerdict
	Findings      []Finding

	pegOuts pegOutSummary
	spans   [sectionCount]span
}

// span is the range of a section's records, with anything that is between them.
type span struct{ first, end int64 }

// pegOutSummary is enough to judge the peg-outs without keeping them.
type pegOutSummary struct {
	hash   []byte // the anchor hash of the first
	differ bool   // another one has a different hash
}

// Verdict is the outcome of the nodes' check.
type Verdict string

// The verdicts. All except Valid mean exit code 2.
const (
	Valid          Verdict = "valid"
	NoAnchor       Verdict = "no anchor"
	RootMismatch   Verdict = "state root mismatch"
	HashMismatch   Verdict = "anchor hash mismatch"
	PegOutMismatch Verdict = "peg-out mismatch"
)

// Verdict returns the verdict of the nodes' verifier: that of the first check that
// fails.
func (r *Report) Verdict() Verdict {
	switch r.AnchorVerdict {
	case AnchorMissing:
		return NoAnchor
	case AnchorRootMismatch:
		return RootMismatch
	case AnchorHashMismatch:
		return HashMismatch
	}
	if r.pegOutsDiffer() {
		return PegOutMismatch
	}
	return Valid
}

// InOrder reports whether the keys of a section ascend, each greater than the previous one.
func (r *Report) InOrder(s Section) bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return (f.Kind == Unsorted || f.Kind == DuplicateKey) && f.Section == s.String()
	})
}

// pegOutsDiffer reports whether any peg-out lacks the snapshot's own anchor hash.
func (r *Report) pegOutsDiffer() bool {
	if r.Counts[PegOuts] == 0 || r.Anchor == nil {
		return false
	}
	return r.pegOuts.differ || len(r.pegOuts.hash) == 0 || string(r.pegOuts.hash) != r.Anchor.Hash
}

// LineTooLongError is returned for a record or anchor line that does not fit in
// the memory allowed.
type LineTooLongError struct {
	Offset int64 // of the line
	Limit  int   // bytes
}

func (e *LineTooLongError) Error() string {
	return fmt.Sprintf("at byte %d: a line longer than the %d bytes that the memory limit allows", e.Offset, e.Limit)
}

// SectionTooLargeError is returned for a section that is out of order or repeats a
// key, and is too large to be sorted in the memory allowed.
type SectionTooLargeError struct {
	Section     Section
	Offset      int64 // of the section's first record
	Repeats     bool  // it is in order, but repeats a key
	Need, Limit int64 // bytes
}

func (e *SectionTooLargeError) Error() string {
	what := "are not sorted"
	if e.Repeats {
		what = "repeat a key"
	}
	return fmt.Sprintf("at byte %d: the %s %s, and sorting them takes %d bytes, over the memory limit of %d",
		e.Offset, e.Section, what, e.Need, e.Limit)
}

// Checker reads snapshots of any size in bounded memory and computes their roots. It
// hashes while it parses. A section that is unsorted, or that repeats a key among more
// records than a node inserts one by one, is sorted as it is read if it is small; if it
// is large, mixed with others, or miscounted, the snapshot is read again. Not safe for
// concurrent use.
type Checker struct {
	memory *Memory
	in     []byte
	again  []byte // a second buffer, for reading a section again
	hash   *textHash
	rec    record
	survey survey // the current one; there is one at a time, kept for its buffers
	sorter lineSorter
	run    [plainRun]plainLine
	// While sweeping, every report is built in swept.
	sweeping bool
	swept    struct {
		report Report
		anchor Anchor
	}
}

// NewChecker returns a Checker that shares the given memory with others. If memory is
// nil, it has its own, of [DefaultMaxMemory].
func NewChecker(memory *Memory) *Checker {
	if memory == nil {
		memory = NewMemory(0)
	}
	return &Checker{memory: memory, in: newLineBuffer(), hash: newTextHash(), sorter: lineSorter{memory: memory}}
}

// Check reads the snapshot at l and judges it. The error is the context's, one
// from r, [ErrShrunk], [ErrChanged], a *[LineTooLongError] or a
// *[SectionTooLargeError]. The content of the snapshot, however wrong, is never an error.
func (c *Checker) Check(ctx context.Context, r io.ReaderAt, l Located) (*Report, error) {
	sv := c.begin()
	if err := sv.run(ctx, r, l); err != nil {
		c.hash.reset(sv.text)
		return nil, err
	}
	return sv.complete(ctx, r, l)
}

// Survey is [Checker.Check] without the root, and so without sorting: Root is empty,
// AnchorVerdict means nothing, and only repeated keys next to each other are found.
func (c *Checker) Survey(ctx context.Context, r io.ReaderAt, l Located) (*Report, error) {
	sv := c.begin()
	sv.straight = false
	err := sv.run(ctx, r, l)
	if err == nil {
		sv.enter(noSection)
	}
	c.hash.reset(sv.text)
	if err != nil {
		return nil, err
	}
	sv.report.Located = l
	return sv.finish(""), nil
}

// begin starts the survey of a snapshot. The text that it holds must be handed back,
// by complete or to the hash.
func (c *Checker) begin() *survey {
	c.sorter.release()
	sv := &c.survey
	sv.checker, sv.report = c, c.newReport()
	sv.found = sv.report.Findings
	for i := range sv.sections {
		sv.sections[i] = sectionScan{lastKey: emptied(sv.sections[i].lastKey)}
	}
	sv.section, sv.lastKey, sv.keyCopy = noSection, nil, emptied(sv.keyCopy)
	sv.text = append(c.hash.buffer(), rootPreamble...)
	sv.straight, sv.held, sv.start = true, false, 0
	return sv
}

// newReport returns an empty report.
func (c *Checker) newReport() *Report {
	if !c.sweeping {
		return &Report{}
	}
	c.swept.report = Report{Findings: c.swept.report.Findings[:0]}
	return &c.swept.report
}

// keepAnchor returns the anchor for the report.
func (c *Checker) keepAnchor(a Anchor) *Anchor {
	if !c.sweeping {
		kept := a
		return &kept
	}
	c.swept.anchor = a
	return &c.swept.anchor
}

// emptied returns the buffer emptied, or nil if it is too large to be worth keeping.
func emptied(key []byte) []byte {
	if cap(key) > blockSize {
		return nil
	}
	return key[:0]
}

// complete computes the root and returns the report, once all lines have been seen.
func (sv *survey) complete(ctx context.Context, r io.ReaderAt, l Located) (*Report, error) {
	sv.enter(noSection)
	var digest [sha256.Size]byte
	if sv.straight {
		digest = sv.checker.hash.sum(sv.text)
		for i := range sv.sections {
			if s := &sv.sections[i]; s.unsorted {
				sv.found.repeat(Section(i), s.first, s.repeats)
			}
		}
	} else {
		sv.checker.hash.reset(sv.text)
		var err error
		if digest, err = sv.checker.replay(ctx, r, sv); err != nil {
			return nil, err
		}
	}
	sv.report.Located = l
	var root [2 * sha256.Size]byte
	hex.Encode(root[:], digest[:])
	return sv.finish(string(root[:])), nil
}

// sectionScan is what the survey knows about one section.
type sectionScan struct {
	declared  uint64 // by the last count line
	counted   bool   // there is a count line
	kept      uint64
	opened    uint64 // the count that went into the text when the section was opened
	textBytes int64  // length of the canonical text of its records
	span             // from the first record's line to the end of the last one's
	lastKey   []byte // of the last record, while another section is current
	unsorted  bool
	// run is the text length of the last records that have the same key; longestRun is
	// that of the longest run of two or more records, 0 if there is none.
	run, longestRun int64
	repeats         uint64 // how many records have the key of another, if that was counted
}

// inOrder reports whether a node leaves the records seen so far in their order. It may
// move equal keys even in a sorted section.
func (s *sectionScan) inOrder() bool {
	return !s.unsorted && (s.longestRun == 0 || s.kept <= insertionMax)
}

// survey is the one pass over a snapshot that always happens. It writes the
// canonical text as if the snapshot were in order, and notes if it is not.
type survey struct {
	checker *Checker
	report  *Report
	found   findings

	sections [sectionCount]sectionScan
	section  Section // of the last record kept
	lastKey  []byte  // its key, in the block, in text or in keyCopy
	keyCopy  []byte
	text     []byte // canonical text not yet handed to the hash
	straight bool   // the text so far is the text that the root covers

	// held is set while all records of the section are in memory: their text in the sorter
	// and in text[start:], and the end of each in the sorter.
	held  bool
	start int
}

// run takes the lines of a snapshot whose place is known.
func (sv *survey) run(ctx context.Context, r io.ReaderAt, l Located) error {
	blocks := newLineBlocks(r, l.Offset+headerSize, l.BodyEnd, sv.checker.in, sv.checker.memory.maxLine())
	for {
		lines, off, long, err := blocks.next()
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case long:
			err = sv.longLine(&blocks, lines, off)
		case len(lines) == 0:
			return nil
		default:
			sv.block(lines, off, bytes.IndexByte(lines, '\\') < 0)
		}
		if err != nil {
			return err
		}
	}
}

// keepKey saves the last key from the end of its block.
func (sv *survey) keepKey() {
	sv.keyCopy = append(sv.keyCopy[:0], sv.lastKey...)
	sv.lastKey = sv.keyCopy
}

// flush hands the text to the hash, or drops it if it will not be needed.
func (sv *survey) flush() {
	if sv.section != noSection && !sv.sections[sv.section].inOrder() {
		if sv.hold() {
			return
		}
		sv.straight = false
	}
	sv.held = false
	if sv.straight {
		sv.text = sv.checker.hash.write(sv.text)
	} else {
		sv.text = sv.text[:0]
	}
}

// hold moves the text of the section to the sorter, and reports whether all of it is there.
func (sv *survey) hold() bool {
	sorter := &sv.checker.sorter
	if !sv.held || !sv.straight || !sorter.room(len(sv.text)-sv.start) {
		return false
	}
	sorter.text = append(sorter.text, sv.text[sv.start:]...)
	sv.text = sv.text[:sv.start]
	return true
}

// sort writes the text of an unsorted section in order. It reports whether it could: all
// of the section must be in memory, and small enough to be sorted if it were read again.
func (sv *survey) sort(scan *sectionScan) bool {
	need := scan.textBytes + int64(scan.kept)*sortEntrySize
	if need > sv.checker.memory.limit || !sv.hold() {
		return false
	}
	sorter := &sv.checker.sorter
	entries, repeats := sorter.sorted(sv.section)
	scan.repeats = repeats
	out := rootText{sv.checker.hash, sv.text}
	for _, e := range entries {
		out.add(sorter.text[e.off : e.off+int64(e.size)])
	}
	sv.text = out.text
	return true
}

// block takes the lines of one block, up to and including a marker line if there is one. It
// returns how many bytes it took. If unescaped is set, there is no backslash in the
// lines.
func (sv *survey) block(lines []byte, off int64, unescaped bool) (taken int, marker string) {
	for taken < len(lines) {
		if sv.section != noSection {
			taken += sv.plainLines(lines[taken:], off+int64(taken), unescaped)
		}
		if s := sv.startsSection(lines[taken:], unescaped); s != noSection {
			sv.enter(s)
			continue
		}
		line, _, newline := bytes.Cut(lines[taken:], []byte{'\n'})
		at := off + int64(taken)
		taken += len(line)
		if newline {
			taken++
		}
		switch string(line) {
		case HeaderLine:
			return taken, HeaderLine
		case EndLine:
			return taken, EndLine
		}
		sv.anyLine(line, at, off+int64(taken), false)
	}
	sv.keepKey()
	if len(sv.text) >= textBlock {
		sv.flush()
	}
	return taken, ""
}

// plainLines takes the records of the current section that are written as a node
// writes them, up to the first line that is not, and returns their size. Nearly all
// the time that is not spent hashing is spent here.
func (sv *survey) plainLines(lines []byte, off int64, unescaped bool) (taken int) {
	l, s := &layouts[sv.section], &sv.sections[sv.section]
	sv.text = slices.Grow(sv.text, len(lines)+plainSlack)
	for {
		if unescaped {
			run, text := l.appendRun(sv.text, lines[taken:], sv.checker.run[:])
			taken += sv.keepRun(s, run, text, lines[taken:], off+int64(taken))
			if len(run) == len(sv.checker.run) {
				continue
			}
		}
		rest := lines[taken:]
		n := bytes.IndexByte(rest, '\n')
		if n < len(l.start) || len(rest) < n+plainSlack || !l.startsPlain(rest) {
			return taken
		}
		if !unescaped && bytes.IndexByte(rest[:n], '\\') >= 0 {
			return taken
		}
		text, keyLen, ok := appendPlain(sv.text, rest, n, l)
		if !ok {
			return taken
		}
		one := [1]plainLine{{text: uint32(len(text) - len(sv.text)), next: uint32(n + 1), keyLen: uint32(keyLen)}}
		taken += sv.keepRun(s, one[:], text, rest, off+int64(taken))
	}
}

// keepRun accounts for records of the current section that are the first of the lines and
// whose canonical text is now at the end of text. It returns the size of their lines.
func (sv *survey) keepRun(s *sectionScan, run []plainLine, text, lines []byte, off int64) (taken int) {
	if len(run) == 0 {
		return 0
	}
	if s.kept == 0 {
		s.first = off
	}
	start, lastKey, before := len(layouts[sv.section].start), sv.lastKey, uint32(0)
	for _, line := range run {
		key := lines[taken+start : taken+start+int(line.keyLen)]
		size := int64(line.text - before)
		before = line.text
		if order := compareKeys(lastKey, key); order >= 0 && s.kept > 0 {
			sv.disorder(s, order, size, off+int64(taken))
		} else {
			s.run = size
		}
		lastKey = key
		if sv.held {
			sv.held = sv.checker.sorter.add(len(sv.text)+int(line.text)-sv.start, int(line.keyLen), s)
		}
		if sv.section == PegOuts {
			sv.report.pegOuts.add(lastQuoted(lines[taken:line.next]))
		}
		s.kept++
		taken = int(line.next)
	}
	s.end = off + int64(taken)
	s.textBytes += int64(before)
	sv.text, sv.lastKey = text, lastKey
	return taken
}

// startsSection returns the section of the first of the lines, if it starts a section other
// than the current one with a record that plainLines takes; otherwise noSection.
func (sv *survey) startsSection(lines []byte, unescaped bool) Section {
	for s := range Section(sectionCount) {
		l := &layouts[s]
		if len(lines) < plainSlack || !l.startsPlain(lines) {
			continue
		}
		n := bytes.IndexByte(lines, '\n')
		if s == sv.section || n < len(l.start) || len(lines) < n+plainSlack || !unescaped && bytes.IndexByte(lines[:n], '\\') >= 0 {
			break
		}
		sv.text = slices.Grow(sv.text, n+plainSlack)
		if _, _, ok := appendPlain(sv.text, lines, n, l); !ok {
			break
		}
		return s
	}
	return noSection
}

// compareKeys is [bytes.Compare], fast for keys that start alike and differ soon after.
func compareKeys(a, b []byte) int {
	for at := 0; at < 16 && len(a) >= at+8 && len(b) >= at+8; at += 8 {
		x, y := binary.BigEndian.Uint64(a[at:]), binary.BigEndian.Uint64(b[at:])
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
	}
	return bytes.Compare(a, b)
}

// lastQuoted returns the last quoted string of a plain line.
func lastQuoted(line []byte) []byte {
	line = line[:bytes.LastIndexByte(line, '"')]
	return line[bytes.LastIndexByte(line, '"')+1:]
}

func (p *pegOutSummary) add(hash []byte) {
	if p.hash == nil {
		p.hash = append(make([]byte, 0, len(hash)+1), hash...)
	}
	if !p.differ && !bytes.Equal(p.hash, hash) {
		p.differ = true
	}
}

// kept accounts for a record whose canonical text has the given length. The key
// must stay as it is until the end of the block.
func (sv *survey) kept(key []byte, text, off, next int64) {
	s := &sv.sections[sv.section]
	order := -1
	if s.kept == 0 {
		s.first = off
	} else {
		order = bytes.Compare(sv.lastKey, key)
	}
	if order >= 0 {
		sv.disorder(s, order, text, off)
	} else {
		s.run = text
	}
	s.kept++
	s.end = next
	s.textBytes += text
	sv.lastKey = key
	if sv.held {
		sv.held = sv.checker.sorter.add(len(sv.text)-sv.start, len(key), s)
	}
}

// disorder accounts for a record whose key equals the previous one, or sorts before it.
// order is the result of comparing the previous key with it. text is its length.
func (sv *survey) disorder(s *sectionScan, order int, text, off int64) {
	if order == 0 {
		s.run += text
		s.longestRun = max(s.longestRun, s.run)
		sv.found.add(DuplicateKey, sv.section.String(), off)
		return
	}
	s.unsorted = true
	sv.found.add(Unsorted, sv.section.String(), off)
}

// anyLine takes a line by the full rules. If cut is set, line is only the start
// of a longer one, and the result is false if more of it is needed.
func (sv *survey) anyLine(line []byte, off, next int64, cut bool) bool {
	f := newFields(line)
	tag := f.Word()
	if len(line) == 0 {
		return true
	}
	if !cut && len(line) > len(HeaderLine) && bytes.HasSuffix(line, []byte(HeaderLine)) {
		sv.found.add(FusedHeader, "", off+int64(len(line)-len(HeaderLine)))
	}
	if s := sectionOfTag(tag); s != noSection {
		rec := &sv.checker.rec
		ok := rec.parse(s, &f)
		if cut && rec.consumed == len(line) {
			return false
		}
		if !ok {
			sv.found.add(DroppedRecord, layouts[s].tag, off)
			return true
		}
		if rec.weak {
			sv.found.add(FailedNumber, s.String(), off)
		}
		sv.enter(s)
		start := len(sv.text)
		sv.text = rec.appendCanonical(sv.text)
		if s == PegOuts {
			sv.report.pegOuts.add(rec.str(3))
		}
		sv.kept(canonicalKey(sv.text[start:], s, rec.ends[0]), int64(len(sv.text)-start), off, next)
		return true
	}
	switch s := sectionOfCountTag(tag); {
	case s != noSection:
		sv.sections[s].declared, sv.sections[s].counted = f.U64(), true
	case string(tag) == timestampTag:
		sv.report.TimestampMs = parseTimestamp(&f, sv.report.TimestampMs)
		if f.Failed {
			sv.found.add(FailedNumber, timestampTag, off)
		}
	case string(tag) == anchorTag:
		what, anchor := parseAnchor(&f)
		if cut && what != anchorNone && f.Pos == len(line) {
			return false
		}
		switch what {
		case anchorBroken:
			sv.found.add(DroppedRecord, anchorTag, off)
		case anchorNone:
			sv.report.Anchor = nil
		case anchorSet:
			sv.report.Anchor = sv.checker.keepAnchor(anchor)
		}
	default:
		sv.found.add(UnknownTag, "", off)
	}
	return true
}

// enter makes s the section of the records that follow, or noSection at the end of
// the snapshot, and writes the headings that come before them.
func (sv *survey) enter(s Section) {
	if s == sv.section && s != noSection {
		return
	}
	from := Section(0)
	if sv.section != noSection {
		old := &sv.sections[sv.section]
		old.lastKey = append(old.lastKey[:0], sv.lastKey...)
		if old.kept != old.opened || !old.inOrder() && !sv.sort(old) {
			sv.straight = false
		}
		sv.checker.sorter.release()
		from = sv.section + 1
	}
	if s < from {
		sv.found.add(Unsorted, s.String(), sv.sections[sv.section].end)
		sv.straight = false
	}
	for i := from; i < sectionCount && i <= s; i++ {
		if i == s {
			sv.sections[i].opened = sv.sections[i].declared
		}
		sv.text = appendHeading(sv.text, i, sv.sections[i].opened)
	}
	sv.section = s
	if s != noSection {
		sv.keyCopy = append(sv.keyCopy[:0], sv.sections[s].lastKey...)
		sv.lastKey = sv.keyCopy
		sv.held, sv.start = sv.straight && sv.sections[s].kept == 0, len(sv.text)
	}
}

// appendHeading appends a section's heading in the text that the root covers.
func appendHeading(text []byte, s Section, n uint64) []byte {
	text = append(text, layouts[s].countTag...)
	text = append(text, ':')
	text = strconv.AppendUint(text, n, 10)
	return append(text, '\n')
}

// longLine takes a line that does not fit in the buffer. Only a line that the rules
// read to its end must be in memory.
func (sv *survey) longLine(blocks *lineBlocks, start []byte, off int64) error {
	f := newFields(start)
	tag := f.Word()
	known := f.Pos < len(start) && (sectionOfTag(tag) != noSection || string(tag) == anchorTag)
	if (known || f.Failed) && blocks.growLine() {
		return nil
	}
	next := off + int64(len(start))
	if f.Failed || !sv.anyLine(start, off, next, true) {
		return &LineTooLongError{Offset: off, Limit: len(start)}
	}
	sv.keepKey()
	sv.flush()
	last, err := blocks.skipLine(len(HeaderLine))
	if err != nil {
		return err
	}
	if string(last) == HeaderLine {
		sv.found.add(FusedHeader, "", blocks.off-int64(len(HeaderLine))-1)
	}
	return nil
}

// uncounted returns how many sections have no count line.
func (sv *survey) uncounted() (n int) {
	for i := range sv.sections {
		if !sv.sections[i].counted {
			n++
		}
	}
	return n
}

// finish completes the report once the root is known.
func (sv *survey) finish(root string) *Report {
	r := sv.report
	r.Root = root
	if missing := sv.uncounted(); missing > 0 {
		sv.found = slices.Grow(sv.found, missing)
	}
	for i := range sv.sections {
		s := &sv.sections[i]
		r.Counts[i], r.spans[i] = s.kept, s.span
		name := Section(i).String()
		switch {
		case !s.counted:
			sv.found = append(sv.found, Finding{Kind: MissingCount, Section: name, Offset: r.Offset, Count: 1})
		case s.declared != s.kept:
			sv.found = append(sv.found, Finding{Kind: CountMismatch, Section: name, Offset: r.Offset, Count: 1,
				Declared: s.declared, Kept: s.kept})
		}
	}
	r.AnchorVerdict = judgeAnchor(root, r.Anchor)
	if r.Anchor != nil && !r.Anchor.Bound() {
		sv.found = append(sv.found, Finding{Kind: UnboundPayload, Offset: r.Offset, Count: 1})
	}
	r.Findings = sv.found
	return r
}
