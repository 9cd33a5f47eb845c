package snapshot

import (
	"bytes"
	"encoding/binary"
)

// FileName is the name of the snapshot file in a node's data directory.
const FileName = "l2_snapshots.dat"

// The marker lines, without their newline. Only a line that is equal to one of them,
// byte for byte, is a marker.
const (
	HeaderLine = "SNAPSHOT v1"
	EndLine    = "END_SNAPSHOT"
)

// Section is one of the five record sections of a snapshot, in the order in
// which a node writes them and the state root covers them.
type Section uint8

// The sections.
const (
	Balances Section = iota
	Escrows
	PegIns
	PegOuts
	Tasks
)

const (
	sectionCount = 5
	noSection    = Section(sectionCount)
)

// Sections lists all sections in root order.
var Sections = [sectionCount]Section{Balances, Escrows, PegIns, PegOuts, Tasks}

// String returns the section's name as it appears in its count line.
func (s Section) String() string { return layouts[s].countTag }

// Tag returns the word that the section's record lines start with.
func (s Section) Tag() string { return layouts[s].tag }

// SectionNamed returns the section that [Section.String] gives this name.
func SectionNamed(name string) (Section, bool) {
	s := sectionOfCountTag([]byte(name))
	return s, s != noSection
}

type fieldKind uint8

const (
	fieldString fieldKind = iota
	fieldU64
	fieldU32
	fieldI32
	fieldBool // 0 or 1 in the file; read as an i32, true when not 0
)

// layout is the order of the fields in one section's records. The canonical text that
// the state root covers has the same order, joined by colons.
type layout struct {
	tag      string
	countTag string
	fields   []fieldKind
	strings  int // how many of the fields are strings
	// start is the beginning of a record as a node writes it: tag, space, quote.
	start string
	// text is the beginning of the record's canonical text: tag, colon.
	text string
	// startWord is start without the quote, as a word in which startMask marks the bytes
	// that count. textWord is text as a word. No tag is too long for one.
	startWord, startMask, textWord uint64
}

func newLayout(tag, countTag string, fields ...fieldKind) layout {
	var start, mask, text [8]byte
	strings := 0
	for _, kind := range fields {
		if kind == fieldString {
			strings++
		}
	}
	copy(start[:], tag+" ")
	copy(mask[:], bytes.Repeat([]byte{0xff}, len(tag)+1))
	copy(text[:], tag+":")
	return layout{tag: tag, countTag: countTag, fields: fields, strings: strings, start: tag + ` "`, text: tag + ":",
		startWord: binary.LittleEndian.Uint64(start[:]), startMask: binary.LittleEndian.Uint64(mask[:]), textWord: binary.LittleEndian.Uint64(text[:])}
}

var layouts = [sectionCount]layout{
	Balances: newLayout("balance", "balances", fieldString, fieldU64),
	Escrows:  newLayout("escrow", "escrows", fieldString, fieldString, fieldU64, fieldBool, fieldU64),
	PegIns: newLayout("pegin", "pegins", fieldString, fieldString, fieldU32, fieldU64, fieldString, fieldString,
		fieldI32, fieldU64, fieldU64, fieldU64),
	PegOuts: newLayout("pegout", "pegouts", fieldString, fieldString, fieldString, fieldU64, fieldU64, fieldI32,
		fieldString, fieldU64, fieldU64),
	Tasks: newLayout("task", "tasks", fieldString, fieldI32, fieldI32, fieldString, fieldU64, fieldString, fieldString),
}

const (
	maxStrings = 4 // pegin, pegout and task have the most
	maxNumbers = 6 // pegin has the most

	timestampTag = "timestamp_ms"
	anchorTag    = "anchor"
	// rootPreamble opens the text that the state root covers.
	rootPreamble = "L2STATE|v1\n"
)

func sectionOfTag(tag []byte) Section {
	for s := range layouts {
		if string(tag) == layouts[s].tag {
			return Section(s)
		}
	}
	return noSection
}

func sectionOfCountTag(tag []byte) Section {
	for s := range layouts {
		if string(tag) == layouts[s].countTag {
			return Section(s)
		}
	}
	return noSection
}
