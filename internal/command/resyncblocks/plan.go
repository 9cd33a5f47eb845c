package resyncblocks

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

const (
	// haltDepth is the depth of a reorg beyond which a node halts.
	haltDepth = 6
	// defaultBelow is how far below the highest stored height it begins by default, unless
	// --max-reorg-depth is more.
	defaultBelow = 100
	// maxKept bounds the lists of heights that are kept for the report.
	maxKept = 1000
	// samples is how many stored hashes are tried to find one that is in the chain.
	samples = 16
)

// plan is the result of comparing the stored hashes with the chain's.
type plan struct {
	tip        bitcoin.ChainInfo
	start, end int64 // both included
	compared   int64 // the lowest stored height that was compared
	foreign    bool  // no stored hash is in the chain; with --check only
	stored     stored
	comparison
	warned bool // of a deep reorg
}

// stored says which heights have a hash.
type stored struct {
	count       int64 // at or below the tip
	lowest, top int64 // of these; top is -1 if there is none
}

// comparison counts the heights within the requested range.
type comparison struct {
	equal, differing int64
	differences      []difference // the first ones
	ranges           []differing  // the first ranges of them
	interrupted      bool         // the last of the ranges has ended
	gaps             []heights    // the first of those without a hash
	first            int64        // the lowest that is missing or differs
	outside          heights      // from the lowest to the highest differing height outside the range
	outsideCount     int64
	lowestDifferent  int64 // in or outside the range; -1 if none
	anyEqual         bool  // in or outside the range
	// counted are the differing heights, in or outside the range, that are counts. They
	// are included in no other field but countedInside.
	counted       []reorgtool.Counted
	countedInside int64 // within the requested range
}

// heights is a range, both ends included.
type heights struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// difference is a stored hash that is not the chain's.
type difference struct {
	Height int64  `json:"height"`
	Stored string `json:"stored"`
	Chain  string `json:"chain"`
}

// differing is a range of heights at which every stored hash differs from the chain's.
type differing struct {
	difference // at the first height
	to         int64
	count      int64
}

func (d differing) String() string {
	switch d.count {
	case 1:
		return fmt.Sprintf("height %d: stored %s, in the chain %s", d.Height, d.Stored, d.Chain)
	case d.to - d.Height + 1:
		return fmt.Sprintf("heights %d to %d: the first has %s stored, in the chain %s", d.Height, d.to, d.Stored, d.Chain)
	}
	return fmt.Sprintf("heights %d to %d, %d of them stored: the first has %s stored, in the chain %s", d.Height, d.to, d.count, d.Stored, d.Chain)
}

// missing returns how many heights of the range have no hash.
func (p *plan) missing() int64 { return p.end - p.start + 1 - p.equal - p.differing - p.countedInside }

// depth returns how many stored blocks a reorg at the height replaces.
func (p *plan) depth(height int64) int64 { return p.stored.top - height + 1 }

// makePlan compares the stored hashes with the chain, and refuses what cannot be done.
func makePlan(ctx context.Context, o Options, db *reorgdb.DB, client *bitcoin.Client, out *cli.IO) (*plan, error) {
	p := &plan{}
	var err error
	if p.tip, err = client.Tip(ctx); err != nil {
		return nil, err
	}
	if err := synced(p.tip, out); err != nil {
		return nil, err
	}
	if o.Anchors {
		// On another chain no record's transaction would be found.
		if err := reorgtool.SameChain(ctx, client, db, o.DBPath); err != nil {
			return nil, err
		}
	}
	if p.stored, err = storedUpTo(ctx, db, p.tip.Blocks); err != nil {
		return nil, err
	}
	if err := p.setRange(o, db, out); err != nil {
		return nil, err
	}
	p.comparison = comparison{first: p.end + 1, lowestDifferent: -1}
	if p.stored.top >= 0 {
		if err := p.compareStored(ctx, o, db, client, out); err != nil {
			return nil, err
		}
	}
	if above := max(p.start, p.stored.top+1); above <= p.end {
		p.miss(heights{above, p.end})
	}
	if o.Check {
		p.foreign, err = p.otherChain(ctx, db, client)
		return p, err
	}
	if above := p.stored.top + 1; above > 0 && above < p.start {
		out.Warn("no block hash from height %d to %d: use --start-height %d to fill them in too", above, p.start-1, above)
	}
	return p, p.refuse(ctx, o, db, client, out)
}

// synced refuses a node that is downloading its first blocks, or the many blocks since it was stopped.
func synced(tip bitcoin.ChainInfo, out *cli.IO) error {
	if tip.InitialBlockDownload {
		return exit.Failf("wait until it has all blocks", "the Bitcoin node is still syncing: %s", tip.Behind(out.Now()))
	}
	return nil
}

// warnBehind warns of a node that seems to lack blocks.
func warnBehind(tip bitcoin.ChainInfo, out *cli.IO) {
	if behind := tip.Behind(out.Now()); behind != "" {
		out.Warn("the Bitcoin node may be behind the chain: %s", behind)
	}
}

// compareStored compares the stored heights that were requested.
func (p *plan) compareStored(ctx context.Context, o Options, db *reorgdb.DB, client *bitcoin.Client, out *cli.IO) error {
	from, to := max(p.start, p.stored.lowest), min(p.end, p.stored.top)
	if !o.Check {
		// The depth of a reorg is known only once everything that it may replace is compared.
		from = max(p.stored.lowest, min(p.start, p.stored.top-o.MaxReorgDepth))
		to = p.stored.top
	}
	bar := terminal.HeightsBar(out.Err, !out.Quiet(), "comparing", max(0, to-from+1))
	defer bar.Done()
	if p.start < from && p.start <= p.end {
		p.miss(heights{p.start, min(from-1, p.end)})
	}
	p.compared = from
	return p.compare(ctx, db, client, from, to, bar)
}

// storedUpTo reads all stored heights up to the tip.
func storedUpTo(ctx context.Context, db *reorgdb.DB, tip int64) (stored, error) {
	s := stored{top: -1}
	for b, err := range db.Blocks(ctx, 0) {
		if err != nil {
			return stored{}, err
		}
		if b.Height > uint64(tip) {
			break
		}
		if s.count == 0 {
			s.lowest = int64(b.Height)
		}
		s.count++
		s.top = int64(b.Height)
	}
	return s, nil
}

// setRange sets the requested range.
func (p *plan) setRange(o Options, db *reorgdb.DB, out *cli.IO) error {
	tip := p.tip.Blocks
	p.start, p.end = o.Start, o.End
	if p.start < 0 {
		highest, any, err := db.HighestBlock()
		if err != nil {
			return err
		}
		p.start = int64(min(highest.Height, math.MaxInt64))
		switch {
		case !any: // the database has no block hash
			out.Hint("no height is stored: starting at 0; use --start-height to start elsewhere")
		case o.Check && p.stored.top >= 0:
			p.start = p.stored.lowest
		default:
			p.start = max(0, p.start-max(defaultBelow, o.MaxReorgDepth))
		}
	}
	if p.end < 0 {
		p.end = tip
	}
	const hint = "check that the Bitcoin node is in sync and on the network of the AILEE node"
	switch {
	case p.start > tip && o.Start < 0:
		return exit.Failf(hint+", or give --start-height", "the highest stored height is more than %d above the chain's tip at height %d", max(defaultBelow, o.MaxReorgDepth), tip)
	case p.start > tip:
		return exit.Failf(hint, "the start height %d is above the chain's tip at height %d", p.start, tip)
	case p.end > tip:
		return exit.Failf(hint, "the end height %d is above the chain's tip at height %d", p.end, tip)
	case p.end < p.start:
		return exit.Failf("give --start-height too", "the end height %d is below the start height %d", p.end, p.start)
	}
	return nil
}

// compare compares the stored hashes of the heights [from, to] with the chain.
func (p *plan) compare(ctx context.Context, db *reorgdb.DB, client *bitcoin.Client, from, to int64, bar terminal.Bar) error {
	for c, err := range fetch(ctx, client, from, to) {
		if err != nil {
			return err
		}
		blocks, err := storedIn(ctx, db, c)
		if err != nil {
			return err
		}
		if blocks, err = p.takeCounted(ctx, client, c, blocks); err != nil {
			return err
		}
		for i := range c.len() {
			height := c.first + int64(i)
			if len(blocks) == 0 || blocks[0].Height != uint64(height) {
				if p.start <= height && height <= p.end && !p.isCounted(height) {
					p.miss(heights{height, height})
				}
				continue
			}
			p.take(height, blocks[0].Hash, c.hash(i))
			blocks = blocks[1:]
		}
		bar.Add(int64(c.len()))
	}
	return nil
}

// takeCounted records the blocks of a chunk whose heights are counts, and returns the
// others.
func (p *plan) takeCounted(ctx context.Context, client *bitcoin.Client, c chunk, blocks []reorgdb.Block) ([]reorgdb.Block, error) {
	differs := func(b reorgdb.Block) bool { return b.Hash != string(c.hash(int(int64(b.Height)-c.first))) }
	var different []reorgdb.Block
	for _, b := range blocks {
		if differs(b) {
			different = append(different, b)
		}
	}
	if len(different) == 0 {
		return blocks, nil
	}
	counted, err := reorgtool.FindCounted(ctx, client, different)
	if err != nil {
		return nil, err
	}
	for _, b := range counted {
		if height := int64(b.Height); p.start <= height && height <= p.end {
			p.countedInside++
		}
	}
	p.counted = append(p.counted, counted...)
	return slices.DeleteFunc(blocks, func(b reorgdb.Block) bool { return p.isCounted(int64(b.Height)) }), nil
}

func (p *plan) isCounted(height int64) bool {
	_, found := slices.BinarySearchFunc(p.counted, uint64(height), func(b reorgtool.Counted, height uint64) int { return cmp.Compare(b.Height, height) })
	return found
}

// storedIn returns the stored blocks at the heights of a chunk.
func storedIn(ctx context.Context, db *reorgdb.DB, c chunk) ([]reorgdb.Block, error) {
	blocks := make([]reorgdb.Block, 0, c.len())
	for b, err := range db.Blocks(ctx, uint64(c.first)) {
		if err != nil {
			return nil, err
		}
		if b.Height >= uint64(c.first)+uint64(c.len()) {
			break
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// miss records heights that have no hash. It is called in ascending order.
func (c *comparison) miss(h heights) {
	c.first = min(c.first, h.From)
	if last := len(c.gaps) - 1; last >= 0 && c.gaps[last].To+1 == h.From {
		c.gaps[last].To = h.To
	} else if len(c.gaps) < maxKept {
		c.gaps = append(c.gaps, h)
	}
}

// take records a height with its two hashes. It is called in ascending order.
func (p *plan) take(height int64, stored string, chain []byte) {
	inside := p.start <= height && height <= p.end
	if stored == string(chain) {
		p.anyEqual, p.interrupted = true, true
		if inside {
			p.equal++
		}
		return
	}
	if p.lowestDifferent < 0 {
		p.lowestDifferent = height
	}
	if !inside {
		if p.outsideCount == 0 {
			p.outside.From = height
		}
		p.outside.To = height
		p.outsideCount++
		return
	}
	p.first = min(p.first, height)
	p.differing++
	d := difference{height, stored, string(chain)}
	if len(p.differences) < maxKept {
		p.differences = append(p.differences, d)
	}
	if last := len(p.ranges) - 1; last >= 0 && !p.interrupted {
		p.ranges[last].to = height
		p.ranges[last].count++
	} else if len(p.ranges) < maxKept {
		p.ranges = append(p.ranges, differing{d, height, 1})
		p.interrupted = false
	}
}

// refuse returns why the differences must not be written, and warns of what is unusual.
func (p *plan) refuse(ctx context.Context, o Options, db *reorgdb.DB, client *bitcoin.Client, out *cli.IO) error {
	if ranges := reorgtool.CountedRanges(p.counted); len(ranges) > 0 {
		more := ""
		if len(ranges) > 1 {
			more = fmt.Sprintf(", and %d more range(s) like it", len(ranges)-1)
		}
		return exit.WrongData(reorgtool.RepairHint(o.DBPath), fmt.Errorf("%s: %s%s: %s", o.DBPath, ranges[0], more, reorgtool.CountedWhy))
	}
	if p.lowestDifferent < 0 {
		return nil
	}
	if foreign, err := p.otherChain(ctx, db, client); err != nil {
		return err
	} else if foreign {
		return reorgtool.OtherChain(o.DBPath, p.tip.Chain)
	}
	if depth := p.depth(p.lowestDifferent); depth > o.MaxReorgDepth {
		atLeast, err := p.deeper(ctx, db, client)
		if err != nil {
			return err
		}
		return tooDeep(o, p.lowestDifferent, depth, atLeast)
	}
	if p.differing > 0 {
		p.warned = warnOfHalt(out, p.depth(p.differences[0].Height))
	}
	if p.outsideCount > 0 {
		out.Warn("%d stored hash(es) outside the requested heights, %d to %d, are not the chain's: use --start-height %d to replace them",
			p.outsideCount, p.outside.From, p.outside.To, p.lowestDifferent)
	}
	return nil
}

// deeper reports whether a reorg may reach below everything that was compared.
func (p *plan) deeper(ctx context.Context, db *reorgdb.DB, client *bitcoin.Client) (bool, error) {
	below := p.lowestDifferent - 1
	if p.lowestDifferent > p.compared || below < p.stored.lowest {
		return false, nil
	}
	stored, ok, err := db.BlockHash(uint64(below))
	if err != nil || !ok {
		return true, err
	}
	hash, err := client.BlockHash(ctx, below)
	return hash != stored, err
}

// otherChain reports whether no stored hash is in the chain, and a reorg that a node
// survives cannot explain that.
func (p *plan) otherChain(ctx context.Context, db *reorgdb.DB, client *bitcoin.Client) (bool, error) {
	if p.anyEqual || p.lowestDifferent < 0 || len(p.counted) > 0 {
		return false, nil
	}
	same, tried, err := p.sample(ctx, db, client)
	return !same && tried+p.differing+p.outsideCount > haltDepth, err
}

// sample reports whether any hash below those that were compared is in the chain. It tries
// a few that are evenly spread.
func (p *plan) sample(ctx context.Context, db *reorgdb.DB, client *bitcoin.Client) (same bool, tried int64, err error) {
	step, i := max(1, p.stored.count/samples), int64(0)
	for b, err := range db.Blocks(ctx, 0) {
		if err != nil {
			return false, tried, err
		}
		if b.Height >= uint64(p.lowestDifferent) {
			break
		}
		if i++; (i-1)%step != 0 {
			continue
		}
		hash, err := client.BlockHash(ctx, int64(b.Height))
		if err != nil {
			return false, tried, err
		}
		tried++
		if hash == b.Hash {
			return true, tried, nil
		}
	}
	return false, tried, nil
}

// tooDeep refuses a reorg. atLeast says that nothing below its height was compared.
func tooDeep(o Options, height, depth int64, atLeast bool) error {
	least := ""
	if atLeast {
		least = "at least "
	}
	return exit.WrongData("check that the Bitcoin node is on the network of the AILEE node, and see what differs: "+exit.Command(Name, "--check", "--db-path", o.DBPath)+"; if it is this database's chain, let more be replaced with --max-reorg-depth N",
		fmt.Errorf("%s: the stored hash at height %d is not the chain's: a reorg %s%d blocks deep, where --max-reorg-depth allows %d", o.DBPath, height, least, depth, o.MaxReorgDepth))
}

// warnOfHalt warns of a deep reorg. It reports whether it did.
func warnOfHalt(out *cli.IO, depth int64) bool {
	if depth > haltDepth {
		out.Warn("a reorg %d blocks deep: a node halts on one deeper than %d", depth, haltDepth)
	}
	return depth > haltDepth
}
