package datadir

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// chainLook is the result of comparing the database with Bitcoin.
type chainLook struct {
	looked  bool
	info    bitcoin.ChainInfo
	usable  bool
	blocks  Chain
	counted []reorgtool.Counted
	proofs  Proofs
	err     error // why the blocks could not be compared
	anchors error // why the anchors could not be proved
}

// headersWait is how long blocks may lag behind their headers.
const headersWait = time.Minute

// lookBitcoin checks bitcoin-node.
func (l *looker) lookBitcoin(ctx context.Context) error {
	b := &BitcoinState{URL: l.Bitcoin.URL()}
	l.view.BitcoinState = b
	info, err := l.Bitcoin.ChainInfo(ctx)
	for waited := time.Duration(0); err == nil && info.Headers > info.Blocks && !info.InitialBlockDownload && waited < headersWait; waited += again {
		if err := l.wait(ctx, again); err != nil {
			return err
		}
		info, err = l.Bitcoin.ChainInfo(ctx)
	}
	var tip bitcoin.Header
	if err == nil {
		tip, err = l.Bitcoin.BlockHeader(ctx, info.BestBlockHash)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.Trouble = troubleOf(err)
		l.couldNotWith(BitcoinNode, b, err)
		return nil
	}
	b.Chain, b.Height, b.Headers, b.TipTime = printable.Text(info.Chain), info.Blocks, info.Headers, time.Unix(tip.Time, 0).UTC()
	switch {
	case info.InitialBlockDownload, info.Headers > info.Blocks:
		b.Trouble = Syncing
		l.couldNotWith(BitcoinNode, b, fmt.Errorf("%w: block %d of %d", errSyncing, info.Blocks, info.Headers))
	case l.now.Sub(b.TipTime) > info.OldTip():
		b.Trouble = OldTip
		l.couldNotWith(BitcoinNode, b, fmt.Errorf("%w: block %d is dated %s", errOldTip, info.Blocks, b.TipTime.Format(time.DateTime)))
	default:
		l.chain.info, l.chain.usable = info, true
		l.sound(BitcoinNode, b, "%s, block %d of %s", b.Chain, b.Height, b.TipTime.Format(time.DateTime))
	}
	return nil
}

var (
	errSyncing = errors.New("it is still syncing")
	errOldTip  = errors.New("its tip is old")
)

// troubleOf classifies the error of a call.
func troubleOf(err error) BitcoinTrouble {
	var status *bitcoin.StatusError
	var rpc *btcjson.RPCError
	switch {
	case errors.As(err, &status) && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden):
		return Unauthorized
	case errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCInWarmup:
		return Loading
	}
	return Unreachable
}

// compareChain compares the database with the chain. A failure of Bitcoin is kept in l.chain:
// it is not an error of the database.
func (l *looker) compareChain(ctx context.Context, db *reorgdb.DB) error {
	if !l.chain.usable || !l.wanted[BitcoinBlocks] && !l.wanted[DBHeights] && !l.wanted[BitcoinAnchors] {
		return nil
	}
	c := &l.chain
	c.looked = true
	c.err = reorgtool.CompareBlocks(ctx, l.Bitcoin, db, c.info.Blocks, func(n int, different []reorgtool.Different, counted []reorgtool.Counted) error {
		c.blocks.Compared += uint64(n)
		c.blocks.Different += uint64(len(different))
		c.counted = append(c.counted, counted...)
		for _, d := range different {
			c.blocks.addHeight(d.Height)
		}
		return nil
	})
	if l.wanted[BitcoinAnchors] {
		c.proofs, c.anchors = l.prove(ctx, db)
	}
	return ctx.Err()
}

// addHeight adds a height whose hash differs. Heights must be added in ascending order.
func (c *Chain) addHeight(height uint64) {
	switch {
	case c.Different == 0 || c.Last == Range{}:
		c.First, c.Last = Range{height, height}, Range{height, height}
	case c.Last.To+1 == height:
		if c.First == c.Last {
			c.First.To = height
		}
		c.Last.To = height
	default:
		c.Last = Range{height, height}
	}
}

// prove looks for the transactions of the confirmed anchors in the chain.
func (l *looker) prove(ctx context.Context, db *reorgdb.DB) (p Proofs, err error) {
	err = reorgtool.ProveAnchors(ctx, l.Bitcoin, db, anchortx.Options{Scan: anchortx.DefaultScan}, func(a reorgdb.Anchor, proof reorgtool.Proof) {
		p.Confirmed++
		switch {
		case proof.Kind == reorgtool.Proven:
			p.Proven++
		case proof.Kind == reorgtool.NotTold:
			p.Unknown++
		default:
			p.Count++
			if len(p.Wrong) < MaxListed {
				p.Wrong = append(p.Wrong, Unproven{printable.Text(a.Hash), printable.Text(a.BitcoinTxID), a.BitcoinHeight, printable.Text(proof.Text)})
			}
		}
	})
	return p, err
}

// sayChain reports db-heights, bitcoin-blocks and bitcoin-anchors.
func (l *looker) sayChain(ctx context.Context) error {
	c := &l.chain
	if c.err != nil {
		l.couldNot(BitcoinBlocks, c.err)
	} else {
		l.sayHeights()
		if err := l.sayBlocks(ctx); err != nil {
			return err
		}
	}
	if l.wanted[BitcoinAnchors] {
		l.sayProofs()
	}
	return nil
}

func (l *looker) sayHeights() {
	if l.chain.err != nil {
		l.couldNot(DBHeights, l.chain.err)
		return
	}
	h := &Heights{Count: uint64(len(l.chain.counted))}
	for _, r := range reorgtool.CountedRanges(l.chain.counted) {
		if len(h.Found) < MaxListed {
			h.Found = append(h.Found, CountedRange(r))
		}
	}
	l.view.Heights = h
	if h.Count == 0 {
		l.sound(DBHeights, h, "no height is a count of blocks")
		return
	}
	r := h.Found[0]
	l.wrong(DBHeights, h, "%d blocks are stored at a count instead of their height, starting at %d", h.Count, r.From)
}

// fewBlocks is how many blocks a reorg may replace all at once: a node halts at more.
const fewBlocks = 6

func (l *looker) sayBlocks(ctx context.Context) error {
	b := &l.chain.blocks
	r := l.view.Records
	height := uint64(max(l.chain.info.Blocks, 0))
	counted := uint64(len(l.chain.counted))
	if r.Blocks > 0 && height > r.Tip && counted < r.Blocks {
		b.Behind = height - r.Tip
	}
	l.view.Chain = b
	running := l.view.Holders != nil && l.view.Holders.Node() != nil
	if b.Different == b.Compared && b.Compared > fewBlocks || b.Compared == 0 && r.Blocks > fewBlocks {
		agrees, err := l.backupAgrees(ctx)
		if err != nil {
			return l.unless(ctx, BitcoinBlocks, err)
		}
		b.OtherNetwork = true
		if !agrees {
			s := l.view.BitcoinState
			s.Trouble = OtherChain
			l.couldNotWith(BitcoinNode, s, fmt.Errorf("%w: none of %d stored hashes is in its chain, %s", errOtherChain, r.Blocks, s.Chain))
			l.couldNotWith(BitcoinBlocks, b, errOtherChain)
			return nil
		}
		l.wrong(BitcoinBlocks, b, "the database is from another network than Bitcoin and the backups")
		return nil
	}
	switch {
	case b.Different > 0:
		l.wrong(BitcoinBlocks, b, "%d of %d block hashes differ from the chain, starting at %d", b.Different, b.Compared, b.First.From)
	case b.Behind >= 2 && !running:
		l.wrong(BitcoinBlocks, b, "%d blocks behind the chain, and the node is stopped", b.Behind)
	case r.Blocks == 0 && !running:
		l.wrong(BitcoinBlocks, b, "the database has no block, and the node is stopped")
	default:
		l.sound(BitcoinBlocks, b, "all %d block hashes match the chain", b.Compared)
	}
	return nil
}

var errOtherChain = errors.New("it is on another network")

// backupAgrees reports whether a backup of the database is from Bitcoin's network.
func (l *looker) backupAgrees(ctx context.Context) (bool, error) {
	if err := l.readBackups(ctx); err != nil {
		return false, err
	}
	for _, s := range l.sources {
		if s.Kind != DatabaseKind || s.Role == Live || s.Verdict != SourceSound || s.unpacked == "" {
			continue
		}
		agrees, err := l.agrees(ctx, s.unpacked)
		if err != nil || agrees {
			return agrees, err
		}
	}
	return false, nil
}

// agrees reports whether one of the highest hashes of a database is in the chain.
func (l *looker) agrees(ctx context.Context, path string) (agrees bool, err error) {
	stored, err := hashesAt(ctx, path)
	if err != nil {
		return false, err
	}
	var hashes []string
	for _, hash := range stored {
		if bitcoin.IsHash(hash) {
			hashes = append(hashes, hash)
		}
	}
	headers, err := l.Bitcoin.FindBlocks(ctx, hashes)
	for _, h := range headers {
		agrees = agrees || h != nil && h.Confirmations > 0
	}
	return agrees, err
}

// hashesAt returns the highest hashes of the database at a path.
func hashesAt(ctx context.Context, path string) (hashes map[uint64]string, err error) {
	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return highestHashes(ctx, db)
}

// disagree reports whether the live database and the newest backup are from different networks:
// they have enough heights in common, but not one hash.
func (l *looker) disagree(ctx context.Context) (bool, error) {
	backup := l.newest[DatabaseKind]
	if len(l.hashes) == 0 || backup == nil || backup.unpacked == "" {
		return false, nil
	}
	stored, err := hashesAt(ctx, backup.unpacked)
	if err != nil {
		return false, err
	}
	common := 0
	for height, hash := range l.hashes {
		other, ok := stored[height]
		if ok && other == hash {
			return false, nil
		}
		common += boolInt(ok)
	}
	return common > fewBlocks, nil
}

func (l *looker) sayProofs() {
	c := &l.chain
	if c.anchors != nil {
		l.couldNot(BitcoinAnchors, c.anchors)
		return
	}
	p := &c.proofs
	l.view.Proofs = p
	switch {
	case p.Count > 0:
		l.wrong(BitcoinAnchors, p, "%d of %d confirmed anchors are not in the chain, such as %s", p.Count, p.Confirmed, p.Wrong[0].Anchor)
	case p.Unknown > 0:
		l.couldNotWith(BitcoinAnchors, p, fmt.Errorf("%w: %d of %d confirmed anchors", errNotFound, p.Unknown, p.Confirmed))
	default:
		l.sound(BitcoinAnchors, p, "all %d confirmed anchors are in the chain", p.Confirmed)
	}
}

var errNotFound = errors.New("the node cannot find the transactions, since it is pruned or has no index")
