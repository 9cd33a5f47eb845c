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
	DryRun     bool              `json:"dry_run,omitempty"`
	Existing   bool              `json:"existing,omitempty"` // it was already there, and is sound
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

// unattributed stands for lost records of unknown kind.
const unattributed = "unattributed"

// lost returns how many records are known to be lost, by kind. The problems in the files
// show how many are lost in all; the records that are left show which ids and heights are
// missing between them. atLeast is set where more may be lost.
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
		lost[string(reorgdb.EventKind)] = c.missingEvents()
	}
	if c.counterLost {
		lost[string(reorgdb.CounterKind)] = 1
	}
	if !atLeast {
		// The other gaps were there before the damage.
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

// missingEvents counts the ids below the counter that no event has.
func (c *copying) missingEvents() (n uint64) {
	for first, last := range c.events.Missing(c.counter) {
		if last-first < maxGap {
			n += last - first + 1
		}
	}
	return n
}

// lostText describes for an operator what is lost.
func (c *copying) lostText() string {
	lost, atLeast := c.lost()
	least := ""
	if atLeast {
		least = "at least "
	}
	text := lostIn(lost, atLeast, least)
	if text == "" {
		return "nothing is known to be lost, but deleted or replaced records may have come back"
	}
	return text
}

// lostIn lists what is lost, with bound before the number of records of unknown kinds. It
// returns "" where nothing is lost.
func lostIn(lost map[string]uint64, atLeast bool, bound string) string {
	var parts []string
	for _, kind := range []reorgdb.Kind{reorgdb.BlockKind, reorgdb.EventKind, reorgdb.CounterKind} {
		if n := lost[string(kind)]; n > 0 {
			parts = append(parts, plural(n, amounts[kind][0], amounts[kind][1]))
		}
	}
	const anchors = "(anchors may be among them)"
	switch n := lost[unattributed]; {
	case n == 1:
		parts = append(parts, bound+"1 record of unknown kind (it may be an anchor)")
	case n > 1:
		parts = append(parts, fmt.Sprintf("%s%d records of unknown kind %s", bound, n, anchors))
	case atLeast:
		parts = append(parts, "an unknown number of records "+anchors)
	}
	if len(parts) == 0 {
		return ""
	}
	last := len(parts) - 1
	if last == 0 {
		return "lost: " + parts[0]
	}
	return "lost: " + strings.Join(parts[:last], ", ") + ", and " + parts[last]
}

// records returns how many records were copied.
func (c *copying) records() (n uint64) {
	for _, counts := range []iter.Seq[uint64]{maps.Values(c.kinds), maps.Values(c.families)} {
		for count := range counts {
			n += count
		}
	}
	return n
}

// report reports what was made, and from which source; from is nil without one.
func (c *copying) report(o Options, from *source, out *cli.IO) error {
	code := exit.OK
	if c.lossy() {
		code = exit.Wrong
	}
	path := terminal.Text(durable.Shown(o.Path))
	if out.JSON() {
		d := document{Path: path, DryRun: o.DryRun, Complete: code == exit.OK, Problems: problemDocuments(c.problems), ExitCode: code}
		d.Lost, _ = c.lost()
		if from != nil {
			d.CopiedFrom, d.Copied, d.Families = terminal.Text(from.shown()), byKind(c.kinds), c.families
		}
		out.Document(d)
	} else if from == nil {
		made := "Made"
		if o.DryRun {
			made = "Would make"
		}
		out.Printf("%s an empty reorg database in %s\n", made, path)
		if old := movedAway(o.Path); old != "" {
			out.Warn("%s is also a reorg database: its anchors and reorg events are not in the new one", old)
			if !o.DryRun {
				out.Hint("carry over what can be read: %s && %s", exit.Command("mv", o.Path, o.Path+".empty"), // OLD is also a reorg database: its anchors and reorg events are not in the new one
					exit.Command(Name, "--path", o.Path, "--copy-from", old))
			}
		}
	} else {
		c.print(o, from, out)
	}
	if code == exit.OK {
		return nil
	}
	return exit.WrongData(c.hint(o), nil)
}

// hint says what to do when not everything could be read.
func (c *copying) hint(o Options) string {
	switch {
	case o.DryRun: // not everything can be read, in a dry run
		return "other copies and backups may have what is missing: name them as well, each with --copy-from, after this one"
	case c.records() == 0: // no record can be read
		return "restore a backup instead: ailee-restore --db-only; keep the old folder until all anchors are accounted for"
	}
	return "see what is missing: " + exit.Command("ailee_reorg_verify", "--db-path", o.Path) + "; keep the old folder until all anchors are accounted for" // not everything could be read
}

func byKind(counts map[reorgdb.Kind]uint64) map[string]uint64 {
	named := map[string]uint64{}
	for kind, n := range counts {
		named[string(kind)] = n
	}
	return named
}

func problemDocuments(problems []rocksfile.Problem) (documents []problemDocument) {
	for _, p := range problems {
		documents = append(documents, problemDocument{Kind: p.Kind, File: terminal.Text(p.File), Offset: p.Offset, Length: p.Length,
			Message: terminal.Text(p.String()), Lost: p.Lost, Stale: p.Stale})
	}
	return documents
}

// movedAway finds the old database that was moved out of the way of the new one: it is in
// the same folder, with a name such as reorg_db.corrupted or reorg_db_old. It returns ""
// where there is none.
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

// heads are the first lines of the report, by whether it is a dry run: for when everything,
// not everything, and nothing could be read.
var heads = map[bool][3]string{
	false: {"Copied %s to %s\n", "Copied what could be read of %s to %s\n", "Nothing could be read from %s: %s is an empty database\n"},
	true:  {"Would copy %s to %s\n", "Would copy what can be read of %s to %s\n", "Nothing can be read from %s: %s would be an empty database\n"},
}

// printHead prints the first line of the report, and what is in the new database.
func (c *copying) printHead(o Options, from string, complete bool, out *cli.IO) {
	head := 0
	switch {
	case !complete && c.records() == 0:
		head = 2
	case !complete:
		head = 1
	}
	out.Printf(heads[o.DryRun][head], from, terminal.Text(durable.Shown(o.Path)))
	for _, kind := range reorgdb.Kinds {
		if n := c.kinds[kind]; n > 0 {
			out.Printf("%s: %d\n", kindNames[kind], n)
		}
	}
	for _, family := range slices.Sorted(maps.Keys(c.families)) {
		out.Printf("Column family %s: %d\n", terminal.Text(family), c.families[family])
	}
}

// warnOf warns of each problem, with front before it.
func warnOf(problems []rocksfile.Problem, front string, out *cli.IO) {
	for i, p := range problems {
		if i == maxListed {
			out.Warn("%s%d more", front, len(problems)-i)
			break
		}
		out.Warn("%s%s", front, p)
	}
}

func (c *copying) print(o Options, from *source, out *cli.IO) {
	c.printHead(o, terminal.Text(from.shown()), !c.lossy(), out)
	warnOf(c.problems, "", out)
	if c.counterSet {
		out.Warn("reorg_counter was lost or too low: it is now %d", c.events.Next())
	}
	if c.lossy() {
		out.Error("%s: not everything could be read; %s", from.shown(), c.lostText())
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
