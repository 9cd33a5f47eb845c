// Package statejson reads and writes the JSON form of a layer-2 state, with the field
// names of the node's own structures (docs/formats.md).
package statejson

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"

	"ailee-recovery/internal/ijson"
	"ailee-recovery/snapshot"
)

// NotTextError is returned for a string that is not valid UTF-8: JSON cannot
// carry it without loss.
type NotTextError struct {
	Path   string // of the value, such as ledger.balances[3].peerId
	Offset int64  // of the snapshot in its file
}

func (e *NotTextError) Error() string {
	return fmt.Sprintf("the snapshot at byte %d cannot be written as JSON: %s is not valid UTF-8", e.Offset, e.Path)
}

// Encode writes the state of the reported snapshot in r, in bounded memory. The records are
// in file order. Numbers beyond 2^53-1 are written as decimal strings, since other programs
// round them. The error may be a *[NotTextError]; part of the state has then been written
// to w.
func Encode(ctx context.Context, w io.Writer, c *snapshot.Checker, r io.ReaderAt, rep *snapshot.Report) error {
	e := encoder{w: bufio.NewWriterSize(w, 64<<10), offset: rep.Offset}
	timestamp, err := ijson.Marshal(rep.TimestampMs)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.w, "{\n  \"snapshotTimestampMs\": %s", timestamp)
	for _, group := range groups {
		fmt.Fprintf(e.w, ",\n  %q: {", group.name)
		for i, section := range group.sections {
			if i > 0 {
				e.w.WriteByte(',')
			}
			name := section.String()
			fmt.Fprintf(e.w, "\n    %q: [", name)
			n := 0
			for record, err := range c.Records(ctx, r, rep, section) {
				if err != nil {
					return err
				}
				if n > 0 {
					e.w.WriteByte(',')
				}
				e.w.WriteString("\n      ")
				if err := e.value(fmt.Sprintf("%s.%s[%d]", group.name, name, n), record.Value()); err != nil {
					return err
				}
				n++
			}
			if n > 0 {
				e.w.WriteString("\n    ")
			}
			e.w.WriteByte(']')
		}
		e.w.WriteString("\n  }")
	}
	e.w.WriteString(",\n  \"anchor\": ")
	if rep.Anchor == nil {
		e.w.WriteString("null")
	} else if err := e.value("anchor", *rep.Anchor); err != nil {
		return err
	}
	e.w.WriteString("\n}\n")
	return e.w.Flush()
}

var groups = []struct {
	name     string
	sections []snapshot.Section
}{
	{"ledger", []snapshot.Section{snapshot.Balances, snapshot.Escrows}},
	{"bridge", []snapshot.Section{snapshot.PegIns, snapshot.PegOuts}},
	{"orchestration", []snapshot.Section{snapshot.Tasks}},
}

type encoder struct {
	w      *bufio.Writer
	offset int64
}

// value writes a record or anchor, a struct of the snapshot package.
func (e *encoder) value(path string, v any) error {
	fields := reflect.ValueOf(v)
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.String && !utf8.ValidString(f.String()) {
			return &NotTextError{Path: path + "." + fields.Type().Field(i).Tag.Get("json"), Offset: e.offset}
		}
	}
	text, err := ijson.Marshal(v)
	if err != nil {
		return err
	}
	_, err = e.w.Write(text)
	return err
}
