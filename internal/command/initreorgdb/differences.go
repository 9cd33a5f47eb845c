package initreorgdb

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/reorgmerge"
	"ailee-recovery/reorgdb"
)

// differences are the records for which two sources have different values: the first ones
// as text, or all of them as rows of JSON, in a temporary file.
type differences struct {
	parts   []*part
	all     bool
	newFile func() (*os.File, error)

	count    uint64
	texts    []string
	counters []string // of the sources, where the new database gets another one
	stored   string   // the counter that the new database gets
	file     *os.File
	rows     *bufio.Writer
}

// differenceDocument is the JSON row of one difference.
type differenceDocument struct {
	Family     string  `json:"column_family,omitempty"` // not for the default one
	Key        string  `json:"key"`
	TakenFrom  string  `json:"taken_from,omitempty"` // missing where the value comes from no source
	Taken      *string `json:"taken,omitempty"`      // missing where the database has no record under this key
	Source     string  `json:"source"`
	Value      string  `json:"value"`
	Renumbered *uint64 `json:"renumbered,omitempty"` // the id that the event has in the database
}

// add records a difference.
func (d *differences) add(one reorgmerge.Difference) error {
	d.count++
	if !d.all {
		d.addText(one)
		return nil
	}
	row := differenceDocument{Key: terminal.Text(string(one.Key)), Source: d.name(one.Other), Value: terminal.Text(string(one.OtherValue)), Renumbered: one.Renumbered}
	if one.Family != reorgdb.DefaultFamily {
		row.Family = terminal.Text(one.Family)
	}
	if one.TakenValue != nil {
		taken := terminal.Text(string(one.TakenValue))
		row.Taken = &taken
	}
	if one.Taken >= 0 {
		row.TakenFrom = d.name(one.Taken)
	}
	text, err := json.Marshal(row)
	if err != nil {
		return err
	}
	if d.file == nil {
		if d.file, err = d.newFile(); err != nil {
			return err
		}
		d.rows = bufio.NewWriter(d.file)
	}
	_, err = d.rows.Write(append(text, '\n'))
	return err
}

func (d *differences) addText(one reorgmerge.Difference) {
	switch {
	case one.TakenValue != nil && one.Taken < 0:
		d.counters = append(d.counters, quoted(one.OtherValue)+" in "+d.name(one.Other))
		d.stored = quoted(one.TakenValue)
	case len(d.texts) < maxListed:
		d.texts = append(d.texts, d.text(one))
	}
}

func (d *differences) name(source int) string { return terminal.Text(d.parts[source].shown()) }

// text describes a difference in one line.
func (d *differences) text(one reorgmerge.Difference) string {
	what, other := recordName(one.Family, one.Key), quoted(one.OtherValue)+" in "+d.name(one.Other)
	switch {
	case one.TakenValue == nil && one.Renumbered != nil:
		return fmt.Sprintf("%s: %s gets the id %d", what, other, *one.Renumbered)
	case one.Renumbered != nil:
		return fmt.Sprintf("%s: %s in %s keeps the id, %s gets the id %d", what, quoted(one.TakenValue), d.name(one.Taken), other, *one.Renumbered)
	}
	return fmt.Sprintf("%s: %s in %s is taken, %s is not", what, quoted(one.TakenValue), d.name(one.Taken), other)
}

func quoted(value []byte) string { return `"` + terminal.Text(string(value)) + `"` }

// recordName names a record in messages.
func recordName(family string, key []byte) string {
	name := terminal.Text(string(key))
	if family != reorgdb.DefaultFamily {
		return fmt.Sprintf("%s in column family %s", name, terminal.Text(family))
	}
	switch kind, number := reorgdb.KeyKind(key); kind {
	case reorgdb.BlockKind:
		return fmt.Sprintf("block %d", number)
	case reorgdb.EventKind:
		return fmt.Sprintf("reorg event %d", number)
	}
	return name
}

// print prints the texts.
func (d *differences) print(out *cli.IO) {
	for _, text := range d.texts {
		out.Printf("Different: %s\n", text)
	}
	if len(d.counters) > 0 {
		out.Printf("Different: %s: %s, but %s is stored\n", reorgdb.CounterKey, strings.Join(d.counters, ", "), d.stored)
	}
	if n := d.count - uint64(len(d.texts)+len(d.counters)); n > 0 {
		out.Printf("Different: %d more; --json lists all of them\n", n)
	}
}

// addTo adds the rows to a document.
func (d *differences) addTo(rows *cli.Rows) error {
	if d.file == nil {
		return nil
	}
	if err := d.rows.Flush(); err != nil {
		return err
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for in := bufio.NewReader(d.file); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = rows.Add(json.RawMessage(line))
		}
		if err != nil {
			return err
		}
	}
}

// close closes the file, if there is one.
func (d *differences) close() error {
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}
