package diffsnapshots

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// The JSON documents, one per line.
type (
	// pairsDocument is the first line when two files are compared.
	pairsDocument struct {
		Pairs pairNumbers `json:"pairs"`
	}

	pairNumbers struct {
		By        string `json:"by"` // "time" or "number"
		Count     int64  `json:"count"`
		Different int64  `json:"different"`
		OnlyA     int64  `json:"only_a"`
		OnlyB     int64  `json:"only_b"`
	}

	// headDocument names the two snapshots whose records are compared.
	headDocument struct {
		Snapshots sidesDocument `json:"snapshots"`
	}

	sidesDocument struct {
		A sideDocument `json:"a"`
		B sideDocument `json:"b"`
	}

	sideDocument struct {
		File        string           `json:"file"`
		Index       int64            `json:"index,omitempty"`
		Offset      int64            `json:"offset"`
		Size        int64            `json:"size"`
		TimestampMs uint64           `json:"timestamp_ms"`
		Time        string           `json:"time,omitempty"`
		StateRoot   string           `json:"state_root,omitempty"`
		Verdict     snapshot.Verdict `json:"verdict"`
		AnchorHash  string           `json:"anchor_hash,omitempty"`
	}

	// recordDocument has a record that differs, in the form it has in a state in JSON.
	recordDocument struct {
		Change  string `json:"change"`
		Section string `json:"section"`
		A       any    `json:"a,omitempty"`
		B       any    `json:"b,omitempty"`
	}

	endDocument struct {
		Same      bool                       `json:"same"`
		Reordered bool                       `json:"reordered,omitempty"`
		Totals    map[string]numbersDocument `json:"totals,omitempty"` // by section
		ExitCode  int                        `json:"exit_code"`
	}

	numbersDocument struct {
		Added   uint64   `json:"added"`
		Removed uint64   `json:"removed"`
		Changed uint64   `json:"changed"`
		Amount  *big.Int `json:"amount,omitempty"` // B minus A
	}
)

// line prints a document if --json was given.
func (d *diff) line(doc any) error {
	if !d.out.JSON() {
		return nil
	}
	return d.out.Line(doc)
}

// sayPairs reports which snapshots of two files were compared.
func (d *diff) sayPairs(p pairs) error {
	by, how := "number", "by number, since the files have no time in common"
	if p.byTime {
		by, how = "time", "with the same time"
	}
	if p.different == 0 {
		d.out.Printf("Compared %d snapshot(s) %s: all are the same\n", p.count, how)
	} else {
		d.out.Printf("Compared %d snapshot(s) %s: %d different. The first:\n", p.count, how, p.different)
	}
	for i, n := range []int64{p.onlyA, p.onlyB} {
		if n > 0 {
			d.out.Warn("%d snapshot(s) are only in %s", n, d.sides[i].arg)
		}
	}
	return d.line(pairsDocument{pairNumbers{by, p.count, p.different, p.onlyA, p.onlyB}})
}

// head reports which snapshots' records are compared.
func (d *diff) head() error {
	var docs [2]sideDocument
	for i, s := range d.sides {
		rep, root := s.report, s.report.Root
		docs[i] = sideDocument{File: terminal.Text(s.path), Index: max(0, s.index), Offset: rep.Offset, Size: rep.Size, TimestampMs: rep.TimestampMs,
			StateRoot: root, Verdict: rep.Verdict()}
		docs[i].Time, _ = snapshottool.UTC(rep.TimestampMs)
		if rep.Anchor != nil {
			docs[i].AnchorHash = terminal.Text(rep.Anchor.Hash)
		}
		switch {
		case s.unverified != nil:
			docs[i].Verdict, root = "unknown", "not known"
			d.out.Warn("%s: the snapshot at byte %d could not be verified: %v", s.path, rep.Offset, s.unverified)
		case !rep.Holding():
			d.out.Warn("%s: the snapshot at byte %d does not verify: %s", s.path, rep.Offset, rep.Verdict())
		}
		d.out.Printf("%s %s  %s  state root %s\n", []string{"---", "+++"}[i], terminal.Text(s.name()), snapshottool.Time(rep.TimestampMs), root)
	}
	return d.line(headDocument{sidesDocument{docs[sideA], docs[sideB]}})
}

// name returns the name of the compared snapshot, as an argument of this command.
func (s *side) name() string {
	if s.index > 0 {
		return fmt.Sprintf("%s@%d", s.path, s.index)
	}
	return s.path + "@latest"
}

// differs prints a record that differs. a and b are its lines in A and B, nil where it is
// missing.
func (d *diff) differs(section snapshot.Section, a, b []byte) error {
	n := &d.numbers[section]
	doc := recordDocument{Section: section.String()}
	var values [2]any
	for i, line := range [2][]byte{a, b} {
		if line == nil {
			continue
		}
		rec, ok := snapshot.ParseRecord(line)
		if !ok {
			return fmt.Errorf("a line that was read as a record cannot be parsed as one: %q", line)
		}
		values[i] = rec.Value()
		n.amounts[i].Add(amount(values[i]))
	}
	switch {
	case b == nil:
		n.removed++
		doc.Change, doc.A = "removed", snapshottool.Printable(values[sideA])
		d.out.Printf("- %s\n", terminal.Text(string(a)))
	case a == nil:
		n.added++
		doc.Change, doc.B = "added", snapshottool.Printable(values[sideB])
		d.out.Printf("+ %s\n", terminal.Text(string(b)))
	default:
		n.changed++
		doc.Change, doc.A, doc.B = "changed", snapshottool.Printable(values[sideA]), snapshottool.Printable(values[sideB])
		d.out.Printf("~ %s %s: %s\n", section.Tag(), quoted(string(keyOf(a, section))), changes(values[sideA], values[sideB]))
	}
	if d.out.JSON() {
		return d.out.Line(doc)
	}
	return d.out.OutErr()
}

// changes lists the fields that differ, with both values.
func changes(a, b any) string {
	var all []string
	fieldsA, fieldsB := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range fieldsA.NumField() {
		name := fieldsA.Type().Field(i).Tag.Get("json")
		if before, after := fieldsA.Field(i), fieldsB.Field(i); !before.Equal(after) {
			all = append(all, fmt.Sprintf("%s %s -> %s", name, shown(name, before), shown(name, after)))
		}
	}
	return strings.Join(all, ", ")
}

// shown formats the value of a field.
func shown(name string, v reflect.Value) string {
	switch {
	case v.Kind() == reflect.String:
		return quoted(v.String())
	case name == "status":
		return snapshot.PegStatus(v.Int()).String()
	}
	return fmt.Sprint(v)
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// quoted returns a string in quotes, as in the file, but printable.
func quoted(s string) string { return `"` + terminal.Text(escapes.Replace(s)) + `"` }

// endSnapshots prints the counts for each section.
func (d *diff) endSnapshots(different uint64, reordered bool) error {
	switch {
	case reordered:
		d.out.Printf("The records are the same, but some that repeat a key are in a different order: the state root depends on it\n")
	case different == 0:
		d.out.Printf("The records are the same\n")
	default:
		d.out.Printf("\n%-10s  %12s  %12s  %12s  %21s\n", "SECTION", "ADDED", "REMOVED", "CHANGED", "AMOUNT")
	}
	end := endDocument{Reordered: reordered, Totals: map[string]numbersDocument{}}
	for _, section := range d.Sections {
		n := &d.numbers[section]
		doc := numbersDocument{Added: n.added, Removed: n.removed, Changed: n.changed}
		change := "-"
		if section != snapshot.Tasks {
			doc.Amount = n.amounts[sideB].Less(n.amounts[sideA])
			change = signed(doc.Amount)
		}
		end.Totals[section.String()] = doc
		if different > 0 {
			d.out.Printf("%-10s  %12d  %12d  %12d  %21s\n", section, n.added, n.removed, n.changed, change)
		}
	}
	return d.finish(end, different > 0 || reordered)
}

// signed formats a number with its sign.
func signed(n *big.Int) string {
	if n.Sign() > 0 {
		return "+" + n.String()
	}
	return n.String()
}

// finish reports the outcome.
func (d *diff) finish(end endDocument, different bool) error {
	var err error
	if end.Same = !different; different {
		err = exit.WrongData("", nil)
	}
	if d.out.JSON() {
		end.ExitCode = exit.Code(err)
		d.out.Document(end)
	}
	return err
}
