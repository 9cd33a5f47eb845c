package getsnapshotblock

import (
	"cmp"
	"context"
	"fmt"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
)

// comparison compares the snapshot's block with the node's chain.
type comparison struct {
	Chain      string `json:"chain"`
	Tip        int64  `json:"tip"`
	TipHash    string `json:"tip_hash"`
	Headers    int64  `json:"headers"` // height of the best header known
	Syncing    bool   `json:"initial_block_download"`
	BlockHash  string `json:"block_hash,omitempty"` // of the chain, at the snapshot's height
	Divergence int64  `json:"divergence"`           // tip - height
}

// where describes how far the node has synced.
func (c *comparison) where() string {
	if c.Headers > c.Tip {
		return fmt.Sprintf("height %d of %d", c.Tip, c.Headers)
	}
	return fmt.Sprintf("height %d", c.Tip)
}

// compare asks the node, and warns if its chain has another block.
func (f *finder) compare(ctx context.Context, b block) (*comparison, error) {
	info, err := f.chainInfo(ctx)
	if err != nil {
		return nil, err
	}
	compared := &comparison{Chain: terminal.Text(info.Chain), Tip: info.Blocks, TipHash: info.BestBlockHash, Headers: info.Headers,
		Syncing: info.InitialBlockDownload, Divergence: info.Blocks - b.Height}
	if compared.Divergence < 0 {
		return compared, nil
	}
	if compared.BlockHash, err = f.node.BlockHash(ctx, b.Height); err != nil {
		return nil, err
	}
	if b.Hash != "" && b.Hash != compared.BlockHash {
		f.out.Warn("the chain has another block at height %d: %s; the stored one is %s", b.Height, compared.BlockHash, b.Hash)
		f.out.Hint("the stored block has been replaced since, or the node is on another network")
	}
	return compared, nil
}

// judge decides whether the tip is near enough. err is the error of the comparison:
// without a limit it is only a warning, since the block is known.
func (f *finder) judge(b block, compared *comparison, err error) error {
	limited := f.MaxDivergence >= 0
	if f.node != nil && err == nil {
		if behind := f.info.Behind(f.out.Now()); behind != "" {
			f.out.Warn("the Bitcoin node may be behind the chain: %s", behind)
		}
	}
	switch {
	case f.node == nil:
	case limited && err != nil:
		return err
	case err != nil:
		f.out.Warn("not compared with the chain: %v", err)
		if hint := hintOf(err); hint != "" {
			f.out.Hint("%s", hint)
		}
	case limited && compared.Divergence > f.MaxDivergence:
		return exit.WrongData("anchor the state again: "+exit.Command("ailee_create_anchor", "--broadcast", "--bitcoin-rpc", "URL", "--l2-state-file", f.File),
			fmt.Errorf("%s: the snapshot is %d blocks behind Bitcoin, at %s of %d", f.File, compared.Divergence, b.at(), compared.Tip))
	case limited && (compared.Divergence < 0 || compared.Syncing || compared.Headers-b.Height > f.MaxDivergence):
		return exit.Failf("run the command again when the node has caught up, and check that it is on the same network as the AILEE node",
			"could not determine the divergence: the Bitcoin node is at %s, the snapshot at %s", compared.where(), b.at())
	case compared.Divergence < 0:
		f.out.Warn("the Bitcoin node is only at %s: it is still syncing, or on another network", compared.where())
	}
	return nil
}

// document is the JSON result.
type document struct {
	File        string              `json:"file"`
	Height      int64               `json:"height"`
	Source      string              `json:"source"`
	Estimated   bool                `json:"estimated"` // from the snapshot's time
	BlockHash   string              `json:"block_hash,omitempty"`
	TimestampMs uint64              `json:"timestamp_ms"`
	Time        string              `json:"time,omitempty"`
	Silent      []silentDocument    `json:"sources_without_answer"`
	Bitcoin     *comparison         `json:"bitcoin,omitempty"`
	Errors      []cli.ErrorDocument `json:"errors,omitempty"`
	ExitCode    int                 `json:"exit_code"`
}

type silentDocument struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
}

// document returns the JSON result. The verdict and err, the error of the comparison, may be
// the same error.
func (f *finder) document(b block, compared *comparison, verdict, err error) document {
	d := document{File: terminal.Text(f.File), Height: b.Height, Source: b.Source, Estimated: b.estimated(), BlockHash: terminal.Text(b.Hash),
		TimestampMs: f.snapshot.TimestampMs, Silent: []silentDocument{}, Bitcoin: compared, ExitCode: exit.Code(verdict)}
	if d.BlockHash == "" && compared != nil {
		d.BlockHash = compared.BlockHash
	}
	d.Time, _ = snapshottool.UTC(f.snapshot.TimestampMs)
	d.Errors = cli.ErrorDocuments(cmp.Or(verdict, err))
	for _, s := range f.silent {
		d.Silent = append(d.Silent, silentDocument{s.source, terminal.Text(s.err.Error())})
	}
	return d
}
