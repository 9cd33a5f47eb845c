package snapshot

import (
	"bytes"
	"strconv"
)

// record is one parsed record line. Its strings lie in text, one after the
// other, and stay valid until the record is parsed into again.
type record struct {
	section  Section
	text     []byte
	ends     [maxStrings]int    // where each string ends in text
	numbers  [maxNumbers]uint64 // i32 values sign-extended
	strings  int
	nums     int
	consumed int  // how much of the line was looked at
	weak     bool // a number failed, and is 0 or a bound
}

// str returns the i-th string field.
func (r *record) str(i int) []byte {
	if i == 0 {
		return r.text[:r.ends[0]]
	}
	return r.text[r.ends[i-1]:r.ends[i]]
}

// parse reads the fields after the tag. It reports false when the record is
// dropped: when a string failed, be it because a number before it did.
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

// appendCanonical appends the record's line of the text that the root covers.
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

// canonicalKey is the sort key in a canonical line built by appendCanonical or
// appendPlain: the first field, keyLen bytes after the tag and colon.
func canonicalKey(line []byte, s Section, keyLen int) []byte {
	start := len(layouts[s].text)
	return line[start : start+keyLen]
}

// Record is one record of a snapshot. It is valid until the next one is asked for.
type Record struct{ *record }

// Section returns the section that it is of.
func (r Record) Section() Section { return r.section }

// Key returns its first field, by which nodes sort.
func (r Record) Key() []byte { return r.str(0) }

// Numbers returns its numbers, in the order of the file: an i32 is sign-extended, a bool 0
// or 1. They are valid as long as the record.
func (r Record) Numbers() []uint64 { return r.numbers[:r.nums] }

// Has reports whether one of its strings is the text.
func (r Record) Has(text []byte) bool {
	for i := range r.strings {
		if bytes.Equal(r.str(i), text) {
			return true
		}
	}
	return false
}

// ParseRecord reads a line of a snapshot file, without its newline, as a node does. It
// reports false for one that is no record, or that a node drops.
func ParseRecord(line []byte) (Record, bool) {
	f := newFields(line)
	rec := &record{}
	s := sectionOfTag(f.Word())
	return Record{rec}, s != noSection && rec.parse(s, &f)
}

// Value returns a copy: a [Balance], [Escrow], [PegIn], [PegOut] or [Task].
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

// anchorLine is what an anchor line says.
type anchorLine uint8

const (
	anchorBroken anchorLine = iota // ignored, an earlier anchor stands
	anchorNone                     // no anchor from here on
	anchorSet
)

// parseAnchor reads the fields after the tag. Any word that starts with n
// means none.
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
	all := string(text) // one piece of memory for the four
	a.L2StateRoot = all[:ends[0]]
	a.RecoveryMetadata = all[ends[0]:ends[1]]
	a.Payload = all[ends[1]:ends[2]]
	a.Hash = all[ends[2]:]
	return anchorSet, a
}

// parseTimestamp reads the snapshot's time. Where nothing is left to read the
// node keeps what it had.
func parseTimestamp(f *fields, before uint64) uint64 {
	if !f.SkipSpace() {
		f.Failed = true
		return before
	}
	return f.U64()
}
