package resyncblocks

import (
	"fmt"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/command/resyncblocks/followanchors"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
)

// maxListed bounds how many heights are printed; the JSON document has maxKept.
const maxListed = 20

// document is the JSON result.
type document struct {
	DBPath   string          `json:"db_path"`
	Chain    string          `json:"chain"` // as the Bitcoin node calls it
	Tip      tipDocument     `json:"tip"`
	Start    int64           `json:"start_height"`
	End      int64           `json:"end_height"` // included
	Check    bool            `json:"check"`
	DryRun   bool            `json:"dry_run"`
	Written  int64           `json:"written"`  // or, with dry_run, to write
	Equal    int64           `json:"equal"`    // already stored
	Replaced int64           `json:"replaced"` // or, with dry_run, to replace
	Reorgs   []reorgDocument `json:"reorgs"`   // the first 1,000 of the replaced ones
	Above    aboveTip        `json:"above_tip"`
	*checkDocument
	Anchors  *followanchors.Document `json:"anchors,omitempty"` // with --anchors
	ExitCode int                     `json:"exit_code"`
}

// checkDocument is the additional result of --check.
type checkDocument struct {
	Differing   int64        `json:"differing"`
	Differences []difference `json:"differences"` // the first 1,000
	Missing     int64        `json:"missing"`
	Gaps        []heights    `json:"gaps"` // the first 1,000 ranges without a hash
	// Counted are the stored heights that are really counts of the blocks that the node had
	// seen.
	Counted []reorgtool.CountedRange `json:"counted_heights"`
}

type tipDocument struct {
	Height int64  `json:"height"`
	Hash   string `json:"hash"`
}

type reorgDocument struct {
	Height       int64    `json:"height"`
	OldBlockHash string   `json:"old_block_hash"`
	NewBlockHash string   `json:"new_block_hash"`
	Invalidated  []string `json:"invalidated_anchors"` // null with dry_run, since they are not known
}

func (p *plan) document(o Options, tip bitcoin.ChainInfo, above aboveTip) document {
	return document{DBPath: terminal.Text(o.DBPath), Chain: terminal.Text(tip.Chain), Tip: tipDocument{tip.Blocks, tip.BestBlockHash},
		Start: p.start, End: p.end, Check: o.Check, DryRun: o.DryRun, Equal: p.equal, Reorgs: []reorgDocument{}, Above: above}
}

// report prints the result of a comparison.
func (p *plan) report(o Options, above aboveTip, anchors *followanchors.Summary, out *cli.IO) error {
	if o.Check {
		return p.reportCheck(o, above, out)
	}
	d := p.document(o, p.tip, above)
	d.Written, d.Replaced = p.missing(), p.differing
	for _, r := range p.differences {
		d.Reorgs = append(d.Reorgs, reorgDocument{Height: r.Height, OldBlockHash: terminal.Text(r.Stored), NewBlockHash: r.Chain})
	}
	d.add(anchors)
	if out.JSON() {
		out.Document(d)
		return nil
	}
	out.Printf("Heights %d to %d of %s: %d to write, %d equal, %d to replace; nothing was written\n", p.start, p.end, d.Chain, d.Written, d.Equal, d.Replaced)
	d.printReorgs(out, "would be replaced by")
	if anchors != nil {
		anchors.Print(out)
	}
	above.warn(out, p.tip.Blocks)
	return nil
}

func (p *plan) reportCheck(o Options, above aboveTip, out *cli.IO) error {
	d := p.document(o, p.tip, above)
	d.checkDocument = &checkDocument{Differing: p.differing, Differences: []difference{}, Missing: p.missing(), Gaps: append([]heights{}, p.gaps...),
		Counted: reorgtool.CountedRanges(p.counted)}
	for _, x := range p.differences {
		d.Differences = append(d.Differences, difference{x.Height, terminal.Text(x.Stored), x.Chain})
	}
	wrong := p.differing > 0 || len(p.counted) > 0
	if wrong {
		d.ExitCode = exit.Wrong
	}
	if out.JSON() {
		out.Document(d)
	} else {
		out.Printf("Heights %d to %d of %s: %d equal, %d different, %d missing", p.start, p.end, d.Chain, p.equal, p.differing, d.Missing)
		if p.countedInside > 0 {
			out.Printf(", %d belonging to other heights", p.countedInside)
		}
		out.Printf("\n")
		printCounted(out.Error, d.Counted)
		more := p.differing
		for _, r := range p.ranges[:min(len(p.ranges), maxListed)] {
			out.Error("%s", r)
			more -= r.count
		}
		if more > 0 {
			out.Error("%d more stored hashes differ", more)
		}
		for _, gap := range p.gaps[:min(len(p.gaps), maxListed)] {
			out.Warn("no block hash from height %d to %d", gap.From, gap.To)
		}
		if n := len(p.gaps) - maxListed; n > 0 {
			out.Warn("at least %d more gaps", n)
		}
		above.warn(out, p.tip.Blocks)
	}
	if !wrong {
		if !out.JSON() {
			out.Printf("Verification OK.\n")
		}
		return nil
	}
	switch {
	case len(p.counted) > 0: // block hashes are stored at heights that are not theirs
		return exit.WrongData(reorgtool.RepairHint(o.DBPath), nil)
	case p.foreign:
		return reorgtool.OtherChain(o.DBPath, p.tip.Chain)
	}
	return exit.WrongData("stop the node and replace what differs: "+ // a stored block hash is not the chain's
		exit.Command(Name, "--start-height", fmt.Sprint(p.lowestDifferent), "--db-path", o.DBPath), nil)
}

// printCounted prints which heights are counts, and where their blocks are.
func printCounted(say func(format string, args ...any), ranges []reorgtool.CountedRange) {
	for _, r := range ranges[:min(len(ranges), maxListed)] {
		say("%s: %s", r, reorgtool.CountedWhy)
	}
	if n := len(ranges) - maxListed; n > 0 {
		say("%d more ranges of heights like these", n)
	}
}

// report prints what was written.
func (f *filling) report(above aboveTip, anchors *followanchors.Summary, took time.Duration) {
	p := f.plan
	if f.o.End < 0 {
		p.end = f.tip.Blocks
	}
	d := p.document(f.o, f.tip, above)
	d.Written, d.Replaced = f.written, f.replaced
	for _, e := range f.events {
		r := reorgDocument{Height: int64(e.Height), OldBlockHash: terminal.Text(e.OldBlockHash), NewBlockHash: e.NewBlockHash, Invalidated: []string{}}
		for _, hash := range e.InvalidatedAnchors {
			r.Invalidated = append(r.Invalidated, terminal.Text(hash))
		}
		d.Reorgs = append(d.Reorgs, r)
	}
	d.add(anchors)
	if f.out.JSON() {
		f.out.Document(d)
		return
	}
	rate := float64(d.Written+d.Equal+d.Replaced) / took.Seconds()
	f.out.Printf("Heights %d to %d of %s: %d written, %d equal, %d replaced, in %s (%.0f per second)\n", p.start, p.end, d.Chain,
		d.Written, d.Equal, d.Replaced, took.Round(time.Millisecond), rate)
	d.printReorgs(f.out, "replaced by")
	if anchors != nil {
		anchors.Print(f.out)
	}
	above.warn(f.out, f.tip.Blocks)
}

// add adds the outcome for the anchors, unless it is nil.
func (d *document) add(anchors *followanchors.Summary) {
	if anchors != nil {
		followed := anchors.Document()
		d.Anchors = &followed
	}
}

func (d document) printReorgs(out *cli.IO, verb string) {
	for _, r := range d.Reorgs[:min(len(d.Reorgs), maxListed)] {
		out.Printf("Reorg at height %d: %s %s %s", r.Height, r.OldBlockHash, verb, r.NewBlockHash)
		if !d.DryRun {
			out.Printf(", %d anchor(s) invalidated", len(r.Invalidated))
		}
		out.Printf("\n")
	}
	if n := d.Replaced - maxListed; n > 0 {
		out.Printf("%d more reorgs\n", n)
	}
}

func (a aboveTip) warn(out *cli.IO, tip int64) {
	if a.Count > 0 {
		out.Warn("%d stored height(s), %d to %d, are above the chain's tip at height %d: left as they are", a.Count, a.From, a.To, tip)
	}
}
