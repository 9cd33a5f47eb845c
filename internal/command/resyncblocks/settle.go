package resyncblocks

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
)

const (
	// linked is the smallest number of last blocks that are checked one by one.
	linked = 100
	// maxRounds bounds how often that is repeated because the chain has changed.
	maxRounds = 20
	// roundPause is how much longer each round waits than the one before it.
	roundPause = 50 * time.Millisecond
)

// settle makes the stored blocks one chain that ends with the node's tip.
//
// The hashes were fetched by height, so if the active chain changed meanwhile, some may
// be of the previous chain. A change d blocks deep affects only heights above tip-d. So
// the last blocks are fetched again, with their headers: all that a reorg of up to
// --max-reorg-depth (at least 100) since the run began can have replaced, and further
// down until the parent of the lowest is the block that is stored below it. They must
// form a chain that ends with the node's best block. What differs is stored as a node
// stores it, until a round finds no difference. Below that, only a reorg deeper than
// --max-reorg-depth that came and was undone during the run could leave a wrong hash;
// one that stayed is found, and refused.
// stayed is found, and refused.
func (f *filling) settle(ctx context.Context) error {
	lowestTip := f.plan.tip.Blocks
	for round := range maxRounds {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(round) * roundPause):
		}
		tip, err := f.client.ChainInfo(ctx)
		if err != nil {
			return err
		}
		lowestTip = min(lowestTip, tip.Blocks)
		settled, err := f.settleOnce(ctx, tip, lowestTip)
		if err != nil {
			if f.moved(ctx, tip, err) {
				continue
			}
			return err
		}
		if settled {
			f.tip = tip
			return nil
		}
	}
	return exit.Failf("run the command again", "the chain keeps changing: after %d rounds the stored blocks and the Bitcoin node's do not agree", maxRounds)
}

// moved reports whether the node refused a call because the chain has changed: the
// requested height is now above the tip, or, for btcd, the requested block is no longer
// in the chain.
func (f *filling) moved(ctx context.Context, tip bitcoin.ChainInfo, err error) bool {
	if bitcoin.AboveTip(err) {
		return true
	}
	var rpc *btcjson.RPCError
	if !errors.As(err, &rpc) {
		return false
	}
	now, err := f.client.ChainInfo(ctx)
	return err == nil && now.BestBlockHash != tip.BestBlockHash
}

// settleOnce reports whether everything stored was right.
func (f *filling) settleOnce(ctx context.Context, tip bitcoin.ChainInfo, lowestTip int64) (settled bool, err error) {
	end := tip.Blocks
	if f.o.End >= 0 {
		end = min(end, f.plan.end)
	}
	if f.top > tip.Blocks {
		stored, err := storedUpTo(ctx, f.db, tip.Blocks)
		if err != nil {
			return false, err
		}
		f.top = stored.top
	}
	for span := max(linked, f.o.MaxReorgDepth); ; span *= 2 {
		from := max(f.plan.start, min(lowestTip, end)-span+1)
		headers, err := f.headers(ctx, from, end)
		if err != nil || len(headers) == 0 {
			return err == nil, err
		}
		left := func(h bitcoin.Header) bool { return h.Confirmations < 1 }
		if last := headers[len(headers)-1]; !follow(headers) || slices.ContainsFunc(headers, left) || end == tip.Blocks && last.Hash != tip.BestBlockHash {
			return false, nil // it changed between two requests
		}
		if from > f.plan.start {
			parent, ok, err := f.db.BlockHash(uint64(from - 1))
			if err != nil {
				return false, err
			}
			if !ok || parent != headers[0].PreviousBlockHash {
				continue
			}
		}
		return f.take(ctx, headers)
	}
}

func (f *filling) headers(ctx context.Context, from, to int64) ([]bitcoin.Header, error) {
	var headers []bitcoin.Header
	err := f.client.BlockHeaders(ctx, from, to, func(h bitcoin.Header) error {
		headers = append(headers, h)
		return nil
	})
	return headers, err
}

// follow reports whether each block is the parent of the next.
func follow(headers []bitcoin.Header) bool {
	for i := 1; i < len(headers); i++ {
		if headers[i].PreviousBlockHash != headers[i-1].Hash {
			return false
		}
	}
	return true
}

// take stores the headers. It reports whether all were stored already.
func (f *filling) take(ctx context.Context, headers []bitcoin.Header) (equal bool, err error) {
	c := chunk{first: headers[0].Height}
	for _, h := range headers {
		c.text = append(c.text, h.Hash...)
	}
	changed, err := f.apply(ctx, c)
	return !changed, err
}
