package initreorgdb

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// mergedHead and mergedEnd are the JSON result of several sources. The rows of their
// differences come in between.
type (
	mergedHead struct {
		Path    string            `json:"path"`
		DryRun  bool              `json:"dry_run,omitempty"`
		Sources []*sourceDocument `json:"sources"`
	}
	mergedEnd struct {
		Copied   map[string]uint64 `json:"copied"`
		Families map[string]uint64 `json:"column_families,omitempty"`
		Lost     map[string]uint64 `json:"lost,omitempty"`
		Missing  uint64            `json:"missing_blocks"` // heights at which all blocks were left out
		Complete bool              `json:"complete"`
		ExitCode int               `json:"exit_code"`
	}
)

// sourceDocument is one of several sources.
type sourceDocument struct {
	Path       string            `json:"path"`
	Archive    bool              `json:"archive"`
	Records    map[string]uint64 `json:"records"`                   // in the source, by kind
	Taken      map[string]uint64 `json:"taken"`                     // from the source, by kind
	Families   map[string]uint64 `json:"column_families,omitempty"` // records taken, by column family
	Renumbered uint64            `json:"renumbered"`                // reorg events
	Unknown    *uint64           `json:"unknown_reorg,omitempty"`
	LeftOut    uint64            `json:"blocks_left_out"`
	Complete   bool              `json:"complete"`
	Problems   []problemDocument `json:"problems,omitempty"`
}

func (p *part) document() *sourceDocument {
	return &sourceDocument{
		Path: terminal.Text(p.shown()), Archive: p.archive, Records: byKind(p.share.Has), Taken: byKind(p.share.Taken), Families: p.share.Families,
		Renumbered: p.share.Renumbered, Unknown: p.share.Unknown, LeftOut: p.share.LeftOut, Complete: !p.lossy(), Problems: problemDocuments(p.problems),
	}
}

// unresolved returns the sources that lost something which the others may not have.
func (m *merging) unresolved() (parts []*part) {
	for _, p := range m.parts {
		if p.lossy() && !p.madeGood() {
			parts = append(parts, p)
		}
	}
	return parts
}

// lost returns how many records of a source are lost that no other source is known to have,
// by kind. The number of records of unknown kind is an upper bound. more is set where still
// more may be lost.
func (m *merging) lost() (lost map[string]uint64, more bool) {
	parts := m.unresolved()
	if len(parts) == 0 {
		return nil, false
	}
	lost = map[string]uint64{}
	blocks, some := uint64(0), false
	for _, p := range parts {
		missing, others := p.lostFor()
		blocks += missing
		lost[unattributed] += others
		_, exact := p.entries()
		more = more || !exact
		for _, problem := range p.problems {
			some = some || problem.Lost
		}
	}
	if some {
		lost[string(reorgdb.BlockKind)] = m.gaps
		lost[string(reorgdb.EventKind)] = m.missingEvents()
	}
	if !more {
		lost[string(reorgdb.BlockKind)] = min(m.gaps, blocks)
	}
	events := min(lost[string(reorgdb.EventKind)], lost[unattributed])
	lost[unattributed] -= events
	maps.DeleteFunc(lost, func(_ string, n uint64) bool { return n == 0 })
	return lost, more
}

// report reports what was made.
func (m *merging) report(o Options, out *cli.IO) error {
	defer func() { _ = m.differences.close() }()
	code := exit.OK
	if len(m.unresolved()) > 0 || m.merge.Missing > 0 {
		code = exit.Wrong
	}
	if out.JSON() {
		if err := m.document(o, code, out); err != nil {
			return err
		}
	} else {
		m.print(o, out)
	}
	switch {
	case code == exit.OK:
		return nil
	case len(m.unresolved()) == 0 && !o.DryRun: // the sources were merged, but blocks are missing
		return exit.WrongData("fetch the missing blocks: "+
			exit.Command("ailee_resync_blocks", "--start-height", fmt.Sprint(m.merge.MissingFrom), "--db-path", o.Path)+" --bitcoin-rpc URL", nil)
	}
	return exit.WrongData(m.hint(o), nil)
}

func (m *merging) document(o Options, code int, out *cli.IO) error {
	head := mergedHead{Path: terminal.Text(durable.Shown(o.Path)), DryRun: o.DryRun}
	for _, p := range m.parts {
		head.Sources = append(head.Sources, p.document())
	}
	out.Buffer()
	rows := out.Rows(head, "differences")
	if err := m.differences.addTo(rows); err != nil {
		return err
	}
	end := mergedEnd{Copied: byKind(m.kinds), Families: m.families, Missing: m.merge.Missing, Complete: code == exit.OK, ExitCode: code}
	end.Lost, _ = m.lost()
	return rows.End(end)
}

func (m *merging) print(o Options, out *cli.IO) {
	m.printHead(o, fmt.Sprintf("%d sources", len(m.parts)), len(m.unresolved()) == 0, out)
	for _, p := range m.parts {
		out.Printf("From %s: %s\n", terminal.Text(p.shown()), p.takenText())
	}
	for _, p := range m.parts {
		if p.lossy() && p.madeGood() {
			out.Printf("Everything that could not be read from %s is filled in: %s\n", terminal.Text(p.shown()), plural(p.share.Filled, "1 block", "%d blocks"))
		}
	}
	m.differences.print(out)
	for _, p := range m.parts {
		warnOf(p.problems, p.shown()+": ", out)
		if p.share.LeftOut > 0 {
			out.Warn("%s does not know the reorg at height %d: %s at or above it left out", p.shown(), *p.share.Unknown, plural(p.share.LeftOut, "1 block", "%d blocks"))
		}
	}
	if m.merge.Raised {
		out.Warn("reorg_counter is now %d, above every reorg event", m.merge.Counter)
	}
	if parts := m.unresolved(); len(parts) > 0 {
		var names []string
		for _, p := range parts {
			names = append(names, p.shown())
		}
		out.Error("not everything could be read from %s; %s", strings.Join(names, ", "), m.lostText())
	}
	if n := m.merge.Missing; n > 0 {
		out.Error("%s", plural(n, "1 of the blocks left out is missing: no other source has it", "%d of the blocks left out are missing: no other source has them"))
	}
}

// lostText describes for an operator what is lost.
func (m *merging) lostText() string {
	lost, more := m.lost()
	text := lostIn(lost, more, "up to ")
	if text == "" {
		return "nothing is known to be missing, but what was lost may have been newer than what replaced it"
	}
	return text
}

// takenText describes what was taken from a source.
func (p *part) takenText() string {
	var parts []string
	for _, kind := range reorgdb.Kinds {
		if n := p.share.Taken[kind]; n > 0 {
			parts = append(parts, plural(n, amounts[kind][0], amounts[kind][1]))
		}
	}
	for _, family := range slices.Sorted(maps.Keys(p.share.Families)) {
		parts = append(parts, fmt.Sprintf("%d of column family %s", p.share.Families[family], terminal.Text(family)))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// amounts are the words for one record of a kind, and for several.
var amounts = map[reorgdb.Kind][2]string{
	reorgdb.BlockKind:   {"1 block", "%d blocks"},
	reorgdb.AnchorKind:  {"1 anchor", "%d anchors"},
	reorgdb.EventKind:   {"1 reorg event", "%d reorg events"},
	reorgdb.CounterKind: {"the event counter", ""},
	reorgdb.OddKind:     {"1 record that no node asks for", "%d records that no node asks for"},
	reorgdb.OtherKind:   {"1 other record", "%d other records"},
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}
