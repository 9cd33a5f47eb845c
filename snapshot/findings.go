package snapshot

import (
	"fmt"
	"slices"
)

// Kind names something that the nodes' reader ignores silently.
type Kind string

// The kinds of findings.
const (
	TornTail       Kind = "torn-tail"       // the file ends in an unfinished snapshot
	MissingNewline Kind = "missing-newline" // the file's last line has no newline: the next line appended would be joined to it
	FusedHeader    Kind = "fused-header"    // a snapshot starts in the middle of a torn line
	HiddenSnapshot Kind = "hidden-snapshot" // a complete snapshot that no node sees: its header or end line has other bytes on it
	CountMismatch  Kind = "count-mismatch"  // a count line disagrees with the records kept
	MissingCount   Kind = "missing-count"   // a section has no count line
	DroppedRecord  Kind = "dropped-record"  // a record or anchor line that cannot be read
	FailedNumber   Kind = "failed-number"   // a number that was read as 0 or as a bound of its type
	UnknownTag     Kind = "unknown-tag"     // a line inside a snapshot that is not a record
	DuplicateKey   Kind = "duplicate-key"   // two records of a section with the same first field
	Unsorted       Kind = "unsorted"        // a section whose records are out of order, or that is out of order itself
	StrayBytes     Kind = "stray-bytes"     // bytes outside any complete snapshot
	UnboundPayload Kind = "unbound-payload" // an anchor payload that does not commit to the anchor's own root
)

// Matters reports whether an operator should hear of it without asking. The other kinds
// are reported only on request.
func (k Kind) Matters() bool {
	switch k {
	case TornTail, MissingNewline, FusedHeader, HiddenSnapshot, CountMismatch, DroppedRecord, DuplicateKey, UnboundPayload:
		return true
	}
	return false
}

// Fails reports whether it makes a strict check fail. A section out of order is not a sign
// of damage: a node writes its records in whatever order it is given them.
func (k Kind) Fails() bool { return k != Unsorted }

// Finding is all that was found of one kind, in one section if that applies.
type Finding struct {
	Kind   Kind
	Offset int64  // of the first occurrence
	Length int64  // in bytes, for TornTail and StrayBytes
	Count  uint64 // occurrences
	// Section is the section concerned, or "".
	Section string
	// Declared and Kept are set for CountMismatch.
	Declared, Kept uint64
}

// String returns the finding as one line, without the name of the file.
func (f Finding) String() string {
	at := fmt.Sprintf("at byte %d", f.Offset)
	if f.Count > 1 {
		at = "the first " + at
	}
	switch f.Kind {
	case TornTail:
		return fmt.Sprintf("torn tail: the last %d bytes, starting at byte %d, are an unfinished snapshot", f.Length, f.Offset)
	case MissingNewline:
		return fmt.Sprintf("the last line has no newline, the file ends at byte %d: the next append would fuse with it", f.Offset)
	case FusedHeader:
		return fmt.Sprintf("a snapshot starts in the middle of a torn line, %s: its records are read together with those of the torn snapshot", at)
	case HiddenSnapshot:
		return fmt.Sprintf("%d complete snapshot(s) hidden from nodes, %s: there are other bytes on their header or end line", f.Count, at)
	case CountMismatch:
		return fmt.Sprintf("%s: the count line says %d, but %d could be read", f.Section, f.Declared, f.Kept)
	case MissingCount:
		return fmt.Sprintf("%s: no count line", f.Section)
	case DroppedRecord:
		return fmt.Sprintf("%d unreadable %s line(s) dropped, %s", f.Count, f.Section, at)
	case FailedNumber:
		return fmt.Sprintf("%s: %d record(s) with a number that cannot be read, %s", f.Section, f.Count, at)
	case UnknownTag:
		return fmt.Sprintf("%d unknown line(s), %s", f.Count, at)
	case DuplicateKey:
		return fmt.Sprintf("%s: %d record(s) repeat the key of another, %s: the state root depends on the order of such records", f.Section, f.Count, at)
	case Unsorted:
		return fmt.Sprintf("%s: not sorted by their first field, %s", f.Section, at)
	case StrayBytes:
		return fmt.Sprintf("%d byte(s) outside any complete snapshot, %s", f.Length, at)
	case UnboundPayload:
		return "the anchor's payload is not <root>:<timestamp>:<metadata>: it commits Bitcoin to something else"
	}
	return string(f.Kind)
}

// findings collects findings, one entry for each kind and section, so that their
// memory does not grow with the damage.
type findings []Finding

func (fs *findings) add(k Kind, section string, off int64) {
	for i := range *fs {
		if f := &(*fs)[i]; f.Kind == k && f.Section == section {
			f.Count++
			return
		}
	}
	*fs = append(*fs, Finding{Kind: k, Section: section, Offset: off, Count: 1})
}

// merge adds the findings of a later part.
func (fs *findings) merge(later findings) {
	for _, f := range later {
		fs.add(f.Kind, f.Section, f.Offset)
		last := slices.IndexFunc(*fs, func(g Finding) bool { return g.Kind == f.Kind && g.Section == f.Section })
		(*fs)[last].Count += f.Count - 1
	}
}

// repeat replaces the count of repeated keys in an unsorted section, which was taken from
// neighbours in the file, by that of the sorted records.
func (fs *findings) repeat(s Section, first int64, records uint64) {
	fs.remove(DuplicateKey, s.String())
	if records > 0 {
		fs.add(DuplicateKey, s.String(), first)
		(*fs)[len(*fs)-1].Count = records
	}
}

func (fs *findings) remove(k Kind, section string) {
	*fs = slices.DeleteFunc(*fs, func(f Finding) bool { return f.Kind == k && f.Section == section })
}
