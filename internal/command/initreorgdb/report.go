package initreorgdb

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// document is the JSON result.
type document struct {
	Path       string            `json:"path"`
	Existing   bool              `json:"existing,omitempty"` // it was there, and is sound
	CopiedFrom string            `json:"copied_from,omitempty"`
	Copied     map[string]uint64 `json:"copied,omitempty"` // records by kind
	Families   map[string]uint64 `json:"column_families,omitempty"`
	Lost       map[string]uint64 `json:"lost,omitempty"` // at least, by kind
	Complete   bool              `json:"complete"`
	Problems   []problemDocument `json:"problems,omitempty"`
	ExitCode   int               `json:"exit_code"`
}

type problemDocument struct {
	Kind    rocksfile.ProblemKind `json:"kind"`
	File    string                `json:"file,omitempty"`
	Offset  int64                 `json:"offset"`
	Length  int64                 `json:"length"`
	Message string                `json:"message"`
	Lost    bool                  `json:"lost"`  // records are lost or could be
	Stale   bool                  `json:"stale"` // deleted or older records may be back
}

// unattributed are lost records whose kind nobody knows.
const unattributed = "unattributed"

// lost is how many records are known to be lost, by kind. What is known of the
// files says how many in all; the records that are left say which ids and heights
// are missing between them. atLeast is set where more may be lost than that.
func (c *copying) lost() (lost map[string]uint64, atLeast bool) {
	if !c.lossy() {
		return nil, false
	}
	entries, counted := uint64(0), map[string]bool{} // by file
	for _, p := range c.problems {
		entries += uint64(p.Entries)
		counted[p.File] = counted[p.File] || p.Entries > 0
	}
	some := false
	for _, p := range c.problems {
		some = some || p.Lost
		atLeast = atLeast || p.Lost && !counted[p.File]
	}
	lost = map[string]uint64{}
	if some {
		lost[string(reorgdb.BlockKind)] = c.gaps
		for first, last := range c.events.Missing(c.counter) {
			if last-first < maxGap {
				lost[string(reorgdb.EventKind)] += last - first + 1
			}
		}
	}
	if c.counterSet {
		lost[string(reorgdb.CounterKind)] = 1
	}
	if !atLeast {
		// Other heights have had no hash before.
		lost[string(reorgdb.BlockKind)] = min(c.gaps, entries)
	}
	known := uint64(0)
	for _, n := range lost {
		known += n
	}
	if entries > known {
		lost[unattributed] = entries - known
	}
	maps.DeleteFunc(lost, func(_ string, n uint64) bool { return n == 0 })
	return lost, atLeast
}

// lostText says in an operator's words what is gone.
func (c *copying) lostText() string {
	lost, atLeast := c.lost()
	var parts []string
	for _, kind := range []struct{ name, one, many string }{
		{string(reorgdb.BlockKind), "1 block", "%d blocks"},
		{string(reorgdb.EventKind), "1 reorg event", "%d reorg events"},
		{string(reorgdb.CounterKind), "the event counter", ""},
	} {
		switch n := lost[kind.name]; {
		case n == 1:
			parts = append(parts, kind.one)
		case n > 1:
			parts = append(parts, fmt.Sprintf(kind.many, n))
		}
	}
	const anchors = "(anchors may be among them)"
	least := ""
	if atLeast {
		least = "at least "
	}
	switch n := lost[unattributed]; {
	case n == 1:
		parts = append(parts, least+"1 record whose kind is unknown (it may be an anchor)")
	case n > 1:
		parts = append(parts, fmt.Sprintf("%s%d records whose kind is unknown %s", least, n, anchors))
	case atLeast:
		parts = append(parts, "an unknown number of records "+anchors)
	}
	if len(parts) == 0 {
		return "nothing is known to be lost, but records may be back that were deleted or replaced"
	}
	last := len(parts) - 1
	if last == 0 {
		return "lost: " + parts[0]
	}
	return "lost: " + strings.Join(parts[:last], ", ") + ", and " + parts[last]
}

// records is how many were copied.
func (c *copying) records() (n uint64) {
	for _, counts := range []iter.Seq[uint64]{maps.Values(c.kinds), maps.Values(c.families)} {
		for count := range counts {
			n += count
		}
	}
	return n
}

// report says what was made.
func (c *copying) report(o Options, out *cli.IO) error {
	code := exit.OK
	if c.lossy() {
		code = exit.Wrong
	}
	if out.JSON() {
		d := document{Path: terminal.Text(durable.Shown(o.Path)), CopiedFrom: terminal.Text(o.CopyFrom), Complete: code == exit.OK, ExitCode: code}
		d.Lost, _ = c.lost()
		if o.CopyFrom != "" {
			d.Copied, d.Families = map[string]uint64{}, c.families
			for kind, n := range c.kinds {
				d.Copied[string(kind)] = n
			}
		}
		for _, p := range c.problems {
			d.Problems = append(d.Problems, problemDocument{Kind: p.Kind, File: terminal.Text(p.File), Offset: p.Offset, Length: p.Length,
				Message: terminal.Text(p.String()), Lost: p.Lost, Stale: p.Stale})
		}
		out.Document(d)
	} else if o.CopyFrom == "" {
		out.Printf("Made an empty reorg database in %s\n", terminal.Text(durable.Shown(o.Path)))
		if old := movedAway(o.Path); old != "" {
			out.Warn("%s is a reorg database, too: its anchors and reorg events are not in the new one", old)
			out.Hint("carry over what can be read: %s && %s", exit.Command("mv", o.Path, o.Path+".empty"),
				exit.Command(Name, "--path", o.Path, "--copy-from", old))
		}
	} else {
		c.print(o, out)
	}
	if code == exit.OK {
		return nil
	}
	if c.records() == 0 {
		return exit.WrongData("restore a backup instead: ailee-restore --db-backup FILE; keep the old folder until all anchors are accounted for", nil)
	}
	return exit.WrongData("see what is to be filled in: "+exit.Command("ailee_reorg_verify", "--db-path", o.Path)+
		"; keep the old folder until all anchors are accounted for", nil)
}

// movedAway finds the database that was moved out of the way of a new one: beside it,
// with a name such as reorg_db.corrupted or reorg_db_old. It is "" where there is none.
func movedAway(path string) string {
	path = filepath.Clean(path)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return ""
	}
	for _, entry := range entries {
		more, ok := strings.CutPrefix(entry.Name(), filepath.Base(path))
		if !ok || more == "" || !strings.Contains("._-", more[:1]) {
			continue
		}
		backup := filepath.Join(filepath.Dir(path), entry.Name())
		if err := reorgdb.CheckFolder(backup); err == nil && !rocksfile.Unfinished(backup) || errors.Is(err, reorgdb.ErrCorrupt) {
			return backup
		}
	}
	return ""
}

// maxListed bounds how many problems are printed.
const maxListed = 100

func (c *copying) print(o Options, out *cli.IO) {
	head := "Copied %s to %s\n"
	switch {
	case c.lossy() && c.records() == 0:
		head = "Nothing could be read of %s: %s is an empty database\n"
	case c.lossy():
		head = "Copied what could be read of %s to %s\n"
	}
	out.Printf(head, terminal.Text(o.CopyFrom), terminal.Text(durable.Shown(o.Path)))
	for _, kind := range reorgdb.Kinds {
		if n := c.kinds[kind]; n > 0 {
			out.Printf("%s: %d\n", kindNames[kind], n)
		}
	}
	for _, family := range slices.Sorted(maps.Keys(c.families)) {
		out.Printf("Column family %s: %d\n", terminal.Text(family), c.families[family])
	}
	for i, p := range c.problems {
		if i == maxListed {
			out.Warn("%d more", len(c.problems)-i)
			break
		}
		out.Warn("%s", p)
	}
	if c.counterSet {
		out.Warn("reorg_counter was lost or behind: it is %d now", c.events.Next())
	}
	if c.lossy() {
		out.Error("%s: not everything could be read; %s", o.CopyFrom, c.lostText())
	}
}

var kindNames = map[reorgdb.Kind]string{
	reorgdb.BlockKind:   "Blocks",
	reorgdb.AnchorKind:  "Anchors",
	reorgdb.EventKind:   "Reorg events",
	reorgdb.CounterKind: "Counter",
	reorgdb.OddKind:     "Records that no node asks for",
	reorgdb.OtherKind:   "Other records",
}
