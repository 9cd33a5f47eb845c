// Package resyncblocks is the command ailee_resync_blocks, which fills the reorg database
// with block hashes from a Bitcoin node, as a node that had seen the blocks would have left
// them.
package resyncblocks

import (
	"fmt"
	"math"
	"slices"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/reorgdb"
)

// Name is the command's name.
const Name = "ailee_resync_blocks"

// Options are the command's options.
type Options struct {
	DBPath        string
	Start         int64 // height; -1 for the default
	End           int64 // height, included; -1 for the tip
	MaxReorgDepth int64 // in blocks
	Check         bool  // compare what is stored, write nothing
	DryRun        bool  // report what would be written
	RepairHeights bool  // move blocks stored at counts, and do nothing else
	Anchors       bool  // bring the anchor records in line with Bitcoin, too
	Confirmations uint64
	Find          anchortx.Options
	Bitcoin       bitcoin.Options
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "fill an AILEE node's reorg database with block hashes from Bitcoin",
		Description: `
   Fetches the block hashes from a height to the tip and handles them as a node's
   block listener does: new heights are written, equal ones are left alone, and
   different ones are recorded as reorgs, which invalidates anchors. The stored
   hashes are compared first: a reorg deeper than --max-reorg-depth, or a node of
   another network, is refused with exit status 2, and nothing is written. The run
   ends when the stored blocks and the Bitcoin node's agree up to the tip. If an
   error or an interrupt ends it earlier, it says how many blocks were written,
   always all up to some height. The next run continues from there. With --anchors,
   each anchor record is then updated with the state of its transaction. The AILEE
   node must be stopped, except for --check; --dry-run is refused when the run
   itself would be. When run as root, it writes as the owner of DIR.

   Some nodes store the number of blocks that they have seen since their start, which
   begins at 1, as the height: the database then has a range of low heights whose
   hashes are at other heights of the chain. These are reported with both heights, and
   nothing is written over them. --repair-heights moves the hashes to their heights, all
   at once, and leaves anchors and reorg events as they are.`,
		Environment: flags.BitcoinEnvironment(),
		Files:       slices.Concat([]cli.Entry{{Name: "/var/lib/ailee/reorg_db/", Text: "the reorg database of a node"}}, flags.BitcoinFiles()),
		Examples: `
# Fill a new database
ailee_resync_blocks --start-height 840000 --db-path /var/lib/ailee/reorg_db --bitcoin-rpc http://localhost:8332
# Is the database on the right chain? The AILEE node may be running
ailee_resync_blocks --check --db-path /var/lib/ailee/reorg_db --bitcoin-rpc http://localhost:8332
# Show what would be done to move hashes from block counts to their heights
ailee_resync_blocks --repair-heights --dry-run --db-path /var/lib/ailee/reorg_db --bitcoin-rpc http://localhost:8332
# Catch up, also after a reorg
ailee_resync_blocks --db-path /var/lib/ailee/reorg_db --bitcoin-rpc http://localhost:8332`,
		SeeAlso:  []string{"ailee_reorg_verify", "ailee_init_reorg_db", "ailee_get_snapshot_block"},
		Required: []string{"db-path"},
		Flags: append([]urfave.Flag{
			flags.DBPath("fill the database in `DIR`"),
			&urfave.Int64Flag{Name: "start-height", Usage: "begin at height `H`",
				DefaultText: "100 below the highest stored height, or --max-reorg-depth if that is more; 0 if none is stored; with --check the lowest stored height"},
			&urfave.Int64Flag{Name: "end-height", Usage: "end with height `H`", DefaultText: "the tip"},
			&urfave.Int64Flag{Name: "max-reorg-depth", Usage: "refuse to replace blocks more than `N` deep", Value: 100},
			&urfave.BoolFlag{Name: "check", Usage: "compare what is stored with the chain and write nothing; exit status 2 if they differ"},
			&urfave.BoolFlag{Name: "dry-run", Usage: "say what would be done and write nothing"},
			&urfave.BoolFlag{Name: "repair-heights", Usage: "move hashes stored at block counts to their heights, and do nothing else"},
			&urfave.BoolFlag{Name: "anchors", Usage: "bring the anchor records in line with Bitcoin, too"},
			&urfave.Uint64Flag{Name: "confirmations", Usage: "with --anchors, consider an anchor confirmed at `N` confirmations", Value: reorgdb.ConfirmedAt},
			flags.Wallet(),
			flags.ScanBlocks(),
			cli.JSONFlag,
			cli.QuietFlag,
		}, flags.BitcoinRPC()...),
		Leaves: "what was written stays, all blocks up to some height: run it again to continue",
		Run:    cli.Parsed(parse, Run),
	}
}

func parse(c *urfave.Context) (Options, error) {
	rpc, _, err := flags.ParseBitcoinRPC(c)
	if err != nil {
		return Options{}, err
	}
	o := Options{DBPath: flags.ParseDBPath(c), Start: -1, End: -1, MaxReorgDepth: c.Int64("max-reorg-depth"),
		Check: c.Bool("check"), DryRun: c.Bool("dry-run"), Anchors: c.Bool("anchors"), RepairHeights: c.Bool("repair-heights"), Confirmations: c.Uint64("confirmations"), Bitcoin: rpc}
	if o.Find, err = flags.ParseFinding(c); err != nil {
		return Options{}, err
	}
	for _, height := range []struct {
		name string
		to   *int64
	}{{"start-height", &o.Start}, {"end-height", &o.End}} {
		if !c.IsSet(height.name) {
			continue
		}
		if *height.to = c.Int64(height.name); *height.to < 0 {
			return Options{}, fmt.Errorf("--%s %d is not a height", height.name, *height.to)
		}
	}
	switch {
	case o.End >= 0 && o.End < o.Start:
		return Options{}, fmt.Errorf("--end-height %d is below --start-height %d", o.End, o.Start)
	case o.MaxReorgDepth < 0 || o.MaxReorgDepth > math.MaxInt32:
		return Options{}, fmt.Errorf("--max-reorg-depth %d is not a number of blocks", o.MaxReorgDepth)
	case o.Check && o.DryRun:
		return Options{}, fmt.Errorf("--check and --dry-run cannot be used together")
	case o.Check && o.Anchors:
		return Options{}, fmt.Errorf("--check does not check anchors: use ailee_reorg_verify --bitcoin-rpc")
	case o.RepairHeights && (o.Check || o.Anchors || o.Start >= 0 || o.End >= 0):
		return Options{}, fmt.Errorf("--repair-heights cannot be combined with --check, --anchors, --start-height or --end-height")
	case o.Confirmations == 0:
		return Options{}, fmt.Errorf("--confirmations 0 would confirm what is not in the chain")
	}
	return o, nil
}
