package snapshot

import (
	"bytes"
	"strconv"
)

// record is one parsed record line. Its strings are in text, one after the
// other, and stay valid until the record is used for the next line.
type record struct {
	section  Section
	text     []byte
	ends     [maxStrings]int    // where each string ends in text
	numbers  [maxNumbers]uint64 // i32 values sign-extended
	strings  int
	nums     int
	consumed int  // how much of the line was read
	weak     bool // a number could not be read, and is 0 or a bound
}

// str returns the i-th string field.
func (r *record) str(i int) []byte {
	if i == 0 {
		return r.text[:r.ends[0]]
	}
	return r.text[r.ends[i-1]:r.ends[i]]
}

// parse reads the fields after the tag. It returns false if the record is dropped: if a
// string could not be read, even if only because of a number before it.
func (r *record) parse(s Section, f *fields) bool {
	r.section, r.text, r.strings, r.nums = s, r.text[:0], 0, 0
	for _, kind := range layouts[s].fields {
		if kind == fieldString {
			r.text = f.str(r.text)
			if f.Failed {
				r.consumed = f.Pos
				return false
			}
			r.ends[r.strings] = len(r.text)
			r.strings++
			continue
		}
		r.numbers[r.nums] = f.number(kind)
		r.nums++
	}
	r.consumed, r.weak = f.Pos, f.Failed
	return true
}

func (f *fields) number(kind fieldKind) uint64 {
	switch kind {
	case fieldU64:
		return f.U64()
	case fieldU32:
		return uint64(f.U32())
	case fieldBool:
		if f.I32() != 0 {
			return 1
		}
		return 0
	default:
		return uint64(int64(f.I32()))
	}
}

// appendCanonical appends the record's line in the text that the root covers.
func (r *record) appendCanonical(dst []byte) []byte {
	l := &layouts[r.section]
	dst = append(dst, l.tag...)
	s, n := 0, 0
	for _, kind := range l.fields {
		dst = append(dst, ':')
		if kind == fieldString {
			dst = append(dst, r.str(s)...)
			s++
			continue
		}
		if kind == fieldI32 {
			dst = strconv.AppendInt(dst, int64(r.numbers[n]), 10)
		} else {
			dst = strconv.AppendUint(dst, r.numbers[n], 10)
		}
		n++
	}
	return append(dst, '\n')
}

// canonicalKey returns the sort key in a canonical line made by appendCanonical or
// appendPlain: the first field, keyLen bytes after the tag and colon.
func canonicalKey(line []byte, s Section, keyLen int) []byte {
	start := len(layouts[s].text)
	return line[start : start+keyLen]
}

// Record is one record of a snapshot. It is valid until the iteration continues.
type Record struct{ *record }

// Section returns the section that the record belongs to.
func (r Record) Section() Section { return r.section }

// Key returns the first field, by which nodes sort.
func (r Record) Key() []byte { return r.str(0) }

// Numbers returns the record's numbers in file order. An i32 is sign-extended, a bool 0 or
// 1. They are valid as long as the record.
func (r Record) Numbers() []uint64 { return r.numbers[:r.nums] }

// Has reports whether one of the record's strings is the text.
func (r Record) Has(text []byte) bool {
	for i := range r.strings {
		if bytes.Equal(r.str(i), text) {
			return true
		}
	}
	return false
}

// ParseRecord reads a line of a snapshot file, without its newline, as a node does. It
// returns false for a line that is not a record, or that a node drops.
func ParseRecord(line []byte) (Record, bool) {
	f := newFields(line)
	rec := &record{}
	s := sectionOfTag(f.Word())
	return Record{rec}, s != noSection && rec.parse(s, &f)
}

// Value returns a copy of the record: a [Balance], [Escrow], [PegIn], [PegOut] or [Task].
func (r Record) Value() any {
	s := func(i int) string { return string(r.str(i)) }
	n := &r.numbers
	switch r.section {
	case Balances:
		return Balance{PeerID: s(0), Balance: n[0]}
	case Escrows:
		return Escrow{TaskID: s(0), ClientPeerID: s(1), Amount: n[0], Locked: n[1] != 0, CreatedAt: n[2]}
	case PegIns:
		return PegIn{
			PegID: s(0), BtcTxID: s(1), Vout: uint32(n[0]), BtcAmount: n[1], BtcSource: s(2), AileeDest: s(3),
			Status: int32(n[2]), Confirmations: n[3], InitiatedTime: n[4], CompletedTime: n[5]}
	case PegOuts:
		return PegOut{
			PegID: s(0), AileeSource: s(1), BtcDest: s(2), AileeBurnAmount: n[0], BtcReleaseAmount: n[1],
			Status: int32(n[2]), AnchorCommitmentHash: s(3), InitiatedTime: n[3], CompletedTime: n[4]}
	default:
		return Task{
			TaskID: s(0), TaskType: int32(n[0]), Priority: int32(n[1]), SubmitterID: s(1), SubmittedAtMs: n[2],
			PayloadHash: s(2), AnchorCommitmentHash: s(3)}
	}
}

// anchorLine is the meaning of an anchor line.
type anchorLine uint8

const (
	anchorBroken anchorLine = iota // ignored; an earlier anchor stays
	anchorNone                     // no anchor, until a later line sets one
	anchorSet
)

// parseAnchor reads the fields after the tag. Any word that starts with n means that there
// is no anchor.
func parseAnchor(f *fields) (what anchorLine, a Anchor) {
	if f.SkipSpace() && f.Text[f.Pos] == 'n' {
		return anchorNone, Anchor{}
	}
	var room [512]byte
	var ends [4]int
	text := f.str(room[:0])
	ends[0] = len(text)
	a.TimestampMs = f.U64()
	for i := 1; i < len(ends); i++ {
		text = f.str(text)
		ends[i] = len(text)
	}
	if f.Failed {
		return anchorBroken, Anchor{}
	}
	all := string(text) // a single allocation for all four
	a.L2StateRoot = all[:ends[0]]
	a.RecoveryMetadata = all[ends[0]:ends[1]]
	a.Payload = all[ends[1]:ends[2]]
	a.Hash = all[ends[2]:]
	return anchorSet, a
}

// parseTimestamp reads the snapshot's time. If nothing is left to read, the node keeps the
// previous value.
func parseTimestamp(f *fields, before uint64) uint64 {
	if !f.SkipSpace() {
		f.Failed = true
		return before
	}
	return f.U64()
}
