package statejson

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"ailee-recovery/internal/ijson"
	"ailee-recovery/snapshot"
)

// Error says what is wrong with a state in JSON, and where.
type Error struct {
	Path   string // such as ledger.balances[3].balance; "" for the state itself
	Offset int64  // in bytes
	Err    error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("at byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("%s, at byte %d: %v", e.Path, e.Offset, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Decoded is the result of [Read].
type Decoded struct {
	*snapshot.Builder
	Anchor *snapshot.Anchor // nil if there is none
	// Rounded is the path of the first number that seems to have been rounded by another
	// program: it is beyond 2^53-1, not a string, and written exactly as a program writes it
	// that holds numbers as doubles. It is "" if there is none.
	Rounded string
}

// Decode is [Read] without Rounded.
func Decode(ctx context.Context, r io.Reader) (*snapshot.Builder, *snapshot.Anchor, error) {
	d, err := Read(ctx, r)
	return d.Builder, d.Anchor, err
}

// Read reads one state, with the records in their order. It is strict: a field that is
// unknown, missing, duplicated, of another type or out of range is an error, and so is a
// string that contains a newline or is not valid UTF-8, and anything after the state. Only
// the anchor may be missing, which is the same as null. Numbers are exact, and may be
// strings. A string, or the white space between two tokens, may be at most [MaxString]
// long: apart from the snapshot that is built, Read needs a few times the memory of the
// longest. The error is the context's, one from r, or an *[Error], which wraps
// [ErrRounded] if a number is too large because of rounding.
func Read(ctx context.Context, r io.Reader) (Decoded, error) {
	in := &reader{ctx: ctx, r: r}
	d := &decoder{
		json: jsontext.NewDecoder(in, jsontext.AllowDuplicateNames(true)), // object detects them
		out:  &snapshot.Builder{},
	}
	in.done = d.json.InputOffset
	err := d.state()
	if in.err != nil {
		err = in.err
	}
	return Decoded{d.out, d.anchor, d.rounded}, err
}

// MaxString is the length of the longest string that is read, as written, in bytes.
const MaxString = 64 << 20

// reader ends when the context does, or at a token that is too long. It keeps the error from
// reading.
type reader struct {
	ctx  context.Context
	r    io.Reader
	read int64
	done func() int64 // how many bytes the decoder has consumed
	err  error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := 0, r.ctx.Err()
	// The decoder asks for more only if what it has is not a whole token.
	if at := r.done(); err == nil && r.read-at > MaxString {
		err = &Error{Offset: at, Err: fmt.Errorf("a token or white space longer than %d bytes", MaxString)}
	}
	if err == nil {
		n, err = r.r.Read(p)
		r.read += int64(n)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped EOF is an error of reading
		r.err = err
	}
	return n, err
}

type decoder struct {
	json   *jsontext.Decoder
	out    *snapshot.Builder
	anchor *snapshot.Anchor
	// rounded is the path of the first number that looks rounded.
	rounded string

	// The record being read.
	text    []byte // its strings, one after the other
	strings [4][]byte
	numbers [6]uint64
}

// kind is the type of a field.
type kind uint8

const (
	kindObject kind = iota
	kindString
	kindU64
	kindU32
	kindI32
	kindBool
)

// field is a member of an object. slot is its index among the strings or the numbers of
// a record, in file order.
type field struct {
	name string
	kind kind
	slot int
}

var stateFields = []field{{name: "snapshotTimestampMs"}, {name: "ledger"}, {name: "bridge"}, {name: "orchestration"}, {name: "anchor"}}

// optionalAnchor is the one field of stateFields that may be missing, as a bit.
const optionalAnchor = 1 << 4

var anchorFields = []field{
	{"l2StateRoot", kindString, 0}, {"timestampMs", kindU64, 0}, {"recoveryMetadata", kindString, 1},
	{"payload", kindString, 2}, {"hash", kindString, 3},
}

var recordFields = map[snapshot.Section][]field{
	snapshot.Balances: {{"peerId", kindString, 0}, {"balance", kindU64, 0}},
	snapshot.Escrows: {{"taskId", kindString, 0}, {"clientPeerId", kindString, 1}, {"amount", kindU64, 0},
		{"locked", kindBool, 1}, {"createdAt", kindU64, 2}},
	snapshot.PegIns: {{"pegId", kindString, 0}, {"btcTxId", kindString, 1}, {"vout", kindU32, 0}, {"btcAmount", kindU64, 1},
		{"btcSource", kindString, 2}, {"aileeDest", kindString, 3}, {"confirmations", kindU64, 3},
		{"initiatedTime", kindU64, 4}, {"completedTime", kindU64, 5}, {"status", kindI32, 2}},
	snapshot.PegOuts: {{"pegId", kindString, 0}, {"aileeSource", kindString, 1}, {"btcDest", kindString, 2},
		{"aileeBurnAmount", kindU64, 0}, {"btcReleaseAmount", kindU64, 1}, {"initiatedTime", kindU64, 3},
		{"completedTime", kindU64, 4}, {"status", kindI32, 2}, {"anchorCommitmentHash", kindString, 3}},
	snapshot.Tasks: {{"taskId", kindString, 0}, {"taskType", kindI32, 0}, {"priority", kindI32, 1}, {"submitterId", kindString, 1},
		{"submittedAtMs", kindU64, 2}, {"payloadHash", kindString, 2}, {"anchorCommitmentHash", kindString, 3}},
}

func (d *decoder) state() error {
	err := d.object(stateFields, optionalAnchor, func(i int) (err error) {
		switch name := stateFields[i].name; name {
		case "snapshotTimestampMs":
			d.out.TimestampMs, err = d.number(kindU64)
		case "anchor":
			err = d.anchorOrNull()
		default:
			err = d.group(groups[i-1].sections)
		}
		return err
	})
	if err != nil {
		return err
	}
	switch _, err := d.json.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	default:
		return &Error{Offset: d.json.InputOffset(), Err: errors.New("something follows the state")}
	}
}

// group reads an object with one array for each section.
func (d *decoder) group(sections []snapshot.Section) error {
	var fields []field
	for _, s := range sections {
		fields = append(fields, field{name: s.String()})
	}
	return d.object(fields, 0, func(i int) error { return d.records(sections[i]) })
}

func (d *decoder) records(s snapshot.Section) error {
	if err := d.expect('[', "an array"); err != nil {
		return err
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	fields := recordFields[s]
	strs, numbers := 0, 0
	for _, f := range fields {
		if f.kind == kindString {
			strs++
		} else {
			numbers++
		}
	}
	member := func(i int) error { return d.value(fields[i]) }
	for d.json.PeekKind() != ']' {
		d.text = d.text[:0]
		if err := d.object(fields, 0, member); err != nil {
			return err
		}
		if err := d.out.Add(s, d.strings[:strs], d.numbers[:numbers]); err != nil {
			return d.errorf(d.json.InputOffset(), "%w", err)
		}
	}
	_, err := d.json.ReadToken()
	return err
}

func (d *decoder) anchorOrNull() error {
	if d.json.PeekKind() == 'n' {
		_, err := d.json.ReadToken()
		return err
	}
	d.text = d.text[:0]
	err := d.object(anchorFields, 0, func(i int) error { return d.value(anchorFields[i]) })
	d.anchor = &snapshot.Anchor{L2StateRoot: string(d.strings[0]), TimestampMs: d.numbers[0],
		RecoveryMetadata: string(d.strings[1]), Payload: string(d.strings[2]), Hash: string(d.strings[3])}
	return err
}

// object reads an object. It calls member to read the value of the i-th field. The fields
// whose bits are set in optional may be missing.
func (d *decoder) object(fields []field, optional uint, member func(i int) error) error {
	if err := d.expect('{', "an object"); err != nil {
		return err
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	seen := uint(0)
	for d.json.PeekKind() != '}' {
		name, err := d.json.ReadValue()
		if err != nil {
			return d.syntax(err)
		}
		i := lookUp(fields, name)
		switch {
		case i < 0:
			return d.errorf(d.json.InputOffset()-int64(len(name)), "unknown field")
		case seen&(1<<i) != 0:
			return d.errorf(d.json.InputOffset()-int64(len(name)), "the field is there twice")
		}
		seen |= 1 << i
		if err := member(i); err != nil {
			return err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for i, f := range fields {
		if (seen|optional)&(1<<i) == 0 {
			return &Error{Path: join(d.path(d.json.StackPointer()), f.name), Offset: d.json.InputOffset() - 1,
				Err: errors.New("the field is missing")}
		}
	}
	return nil
}

// lookUp returns the index of the field with this name in JSON, or -1.
func lookUp(fields []field, quoted []byte) int {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name, _ = jsontext.AppendUnquote(nil, quoted)
	}
	for i := range fields {
		if string(name) == fields[i].name {
			return i
		}
	}
	return -1
}

// value reads the value of a record's field.
func (d *decoder) value(f field) (err error) {
	switch f.kind {
	case kindString:
		d.strings[f.slot], err = d.str()
	case kindBool:
		d.numbers[f.slot], err = d.boolean()
	default:
		d.numbers[f.slot], err = d.number(f.kind)
	}
	return err
}

// str reads a string. It stays valid until the next record.
func (d *decoder) str() ([]byte, error) {
	if err := d.expect('"', "a string"); err != nil {
		return nil, err
	}
	v, err := d.json.ReadValue()
	if err != nil {
		return nil, d.syntax(err)
	}
	start := len(d.text)
	if bytes.IndexByte(v, '\\') < 0 {
		d.text = append(d.text, v[1:len(v)-1]...)
		return d.text[start:], nil
	}
	if d.text, err = jsontext.AppendUnquote(d.text, v); err != nil {
		return nil, d.syntax(err)
	}
	if bytes.IndexByte(d.text[start:], '\n') >= 0 {
		return nil, d.errorf(d.start(v), "the string %w", snapshot.ErrNewline)
	}
	return d.text[start:], nil
}

func (d *decoder) boolean() (uint64, error) {
	k := d.json.PeekKind()
	if k != 't' {
		if err := d.expect('f', "true or false"); err != nil {
			return 0, err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return 0, d.syntax(err)
	}
	if k == 't' {
		return 1, nil
	}
	return 0, nil
}

// number reads a number, or a string that is one.
func (d *decoder) number(k kind) (uint64, error) {
	if d.json.PeekKind() != '"' {
		if err := d.expect('0', "an integer"); err != nil {
			return 0, err
		}
	}
	v, err := d.json.ReadValue()
	if err != nil {
		return 0, d.syntax(err)
	}
	n, err := parseNumber(string(bytes.Trim(v, `"`)), k)
	rounded := k == kindU64 && v[0] != '"' && looksRounded(string(v))
	switch {
	case err != nil && rounded:
		return 0, d.errorf(d.start(v), "%.60s is %w: %w", v, err, ErrRounded)
	case err != nil:
		return 0, d.errorf(d.start(v), "%.60s is %w", v, err)
	case rounded && d.rounded == "":
		d.rounded = d.path(d.json.StackPointer())
	}
	return n, nil
}

// ErrRounded says that a number looks rounded.
var ErrRounded = errors.New("it looks rounded by a program that holds numbers as doubles")

// looksRounded reports whether a number beyond 2^53-1 is written as by a program that holds
// numbers as doubles: with the fewest digits that identify the double, followed by zeros or
// an exponent, or with all of its digits.
func looksRounded(number string) bool {
	if len(number) < len("9007199254740992") {
		return false
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f <= ijson.MaxExact {
		return false
	}
	switch number {
	case strconv.FormatFloat(f, 'f', -1, 64), strconv.FormatFloat(f, 'f', 0, 64), strconv.FormatFloat(f, 'e', -1, 64):
		return true
	}
	return false
}

func parseNumber(text string, k kind) (uint64, error) {
	switch k {
	case kindI32:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || text[0] == '+' {
			return 0, fmt.Errorf("not an integer from %d to %d", math.MinInt32, math.MaxInt32)
		}
		return uint64(n), nil
	case kindU32:
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("not an integer from 0 to %d", uint64(math.MaxUint32))
		}
		return n, nil
	default:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("not an integer from 0 to %d", uint64(math.MaxUint64))
		}
		return n, nil
	}
}

// expect returns an error unless the next value is of the kind.
func (d *decoder) expect(k jsontext.Kind, what string) error {
	found := d.json.PeekKind()
	if found == k {
		return nil
	}
	// Reading it makes it the value that errorf names. A closing brace or bracket is not
	// a value.
	size := 1
	if found == '{' || found == '[' {
		if _, err := d.json.ReadToken(); err != nil {
			return d.syntax(err)
		}
	} else {
		v, err := d.json.ReadValue()
		if err != nil {
			return d.syntax(err)
		}
		size = len(v)
	}
	return d.errorf(d.json.InputOffset()-int64(size), "expected %s, found %s", what, kindName(found))
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "a number"
	}
	return k.String()
}

// start returns the offset of the value that was just read.
func (d *decoder) start(v jsontext.Value) int64 { return d.json.InputOffset() - int64(len(v)) }

// errorf returns an error about the value that was read last.
func (d *decoder) errorf(offset int64, format string, args ...any) error {
	return &Error{Path: d.path(d.json.StackPointer()), Offset: offset, Err: fmt.Errorf(format, args...)}
}

// syntax turns an error of the JSON library into an [Error].
func (d *decoder) syntax(err error) error {
	var wrong *jsontext.SyntacticError
	if errors.As(err, &wrong) {
		err = wrong.Err
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the state ends too early")
		}
		return &Error{Path: d.path(wrong.JSONPointer), Offset: wrong.ByteOffset, Err: err}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the state is empty")
	}
	return &Error{Offset: d.json.InputOffset(), Err: err}
}

// path converts a pointer such as /ledger/balances/3 to ledger.balances[3].
func (d *decoder) path(p jsontext.Pointer) string {
	path, depth := "", 0
	for token := range p.Tokens() {
		depth++
		// Only the third level is an array.
		if depth == 3 && path != "anchor" {
			path += "[" + token + "]"
		} else {
			path = join(path, token)
		}
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
