// Package createanchor is the command ailee_create_anchor: a state with a new
// anchor, appended to a node's snapshot file or written to a separate file.
package createanchor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/exit"
)

// Name is the command's name.
const Name = "ailee_create_anchor"

// Options are the command's options.
type Options struct {
	StateFile    string // a path, or "-" for standard input
	DataDir      string // its snapshot file is appended to
	Output       string // a new file to write instead, "" for none
	DryRun       bool
	Metadata     string // of the anchor
	TimestampMs  uint64 // of the anchor, in Unix milliseconds
	TimestampSet bool   // TimestampMs was given, and is not just the current time
	Tapscript    bool   // print the tapscript fragment too
	flags.Checking

	AskNode   bool // put the tip of the Bitcoin node's chain into the anchor
	Bitcoin   bitcoin.Options
	Broadcast bool   // send the anchor through the node's wallet
	Bump      string // replace the transaction of this anchor instead of making one
	DBPath    string // where the record of a broadcast goes
	Wallet    string // the wallet's name, "" for the loaded one
	Fees      wallet.Fees
	Yes       bool // send without asking
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "anchor a state and append it to a node's snapshot file",
		Description: `
   Computes the state root of FILE and the anchor that commits to it, appends the
   state with that anchor as one snapshot to l2_snapshots.dat in DIR, and prints
   what a Bitcoin transaction has to carry. FILE is a state in JSON, as written by
   ailee_extract_snapshots --format json, or a snapshot file, whose latest snapshot
   is used. The state keeps its own time, and peg-outs keep their anchor hash. Any
   anchor that the state already has is replaced. The node may be running.

   With a Bitcoin node (--bitcoin-rpc), the anchor's metadata names the tip of its
   chain. With --broadcast, the anchor is sent in a transaction from the Bitcoin
   node's wallet and recorded in the reorg database as PENDING: stop the AILEE node
   first. The tool asks before it sends. After an interrupted run, run the same
   command again: it continues with the same transaction, and nothing is paid twice.
   --bump replaces the transaction of a stuck anchor with one that pays a higher fee.
   Run as root, it writes as the owner of the folder.`,
		Environment: flags.BitcoinEnvironment(),
		Files: slices.Concat([]cli.Entry{
			{Name: "DIR/l2_snapshots.dat", Text: "the snapshot file of the node, which is appended to"},
			{Name: "DIR/reorg_db/", Text: "the reorg database, written only with --broadcast and --bump"},
			{Name: "DIR/.reorg_db.anchor-pending", Text: "the transaction of an unfinished broadcast: never delete it, run the same command again"},
		}, flags.BitcoinFiles()),
		Examples: `
# What would be anchored?
ailee_create_anchor --dry-run --tapscript --l2-state-file /var/lib/ailee/l2_snapshots.dat
# Append a state with a new anchor to the node's file
ailee_create_anchor --l2-state-file /tmp/current_state.json
# Write the anchored state to a separate file, with the tip of the Bitcoin chain
ailee_create_anchor --l2-state-file /tmp/current_state.json --output /tmp/anchored.dat --bitcoin-rpc http://localhost:8332
# What would it cost to put an anchor on Bitcoin?
ailee_create_anchor --broadcast --dry-run --wallet anchors --fee-rate 12 --l2-state-file /tmp/current_state.json --bitcoin-rpc http://localhost:8332
# Put it on Bitcoin while the AILEE node is stopped; it asks before it sends
ailee_create_anchor --broadcast --wallet anchors --fee-rate 12 --l2-state-file /tmp/current_state.json
# Replace its transaction when the fee turns out too low
ailee_create_anchor --bump ANCHOR_HASH --wallet anchors --fee-rate 30`,
		Stdin:   []string{"l2-state-file"},
		SeeAlso: []string{"ailee_extract_snapshots", "ailee_l2_verify", "ailee_resync_blocks"},
		Flags: slices.Concat([]urfave.Flag{
			&urfave.StringFlag{Name: "l2-state-file", Usage: "anchor the state in `FILE`, a file or pipe, or - for standard input"},
			flags.DataDir("append to l2_snapshots.dat in `DIR`", flags.DefaultDataDir),
			&urfave.StringFlag{Name: "output", Usage: "write the snapshot to the new file `OUT` instead"},
			&urfave.BoolFlag{Name: "dry-run", Usage: "show the anchor and its transaction, but write and send nothing"},
			&urfave.StringFlag{Name: "recovery-metadata", Usage: "put `TEXT` into the anchor, such as key=value,key=value"},
			&urfave.StringFlag{Name: "timestamp-ms", Usage: "set the anchor's time to `N`, in Unix milliseconds (default: now)"},
			&urfave.BoolFlag{Name: "tapscript", Usage: "show the tapscript fragment too"},
			&urfave.BoolFlag{Name: "broadcast", Usage: "send the anchor through the wallet of the Bitcoin node"},
			&urfave.StringFlag{Name: "bump", Usage: "replace the transaction of the anchor `ANCHOR_HASH` with one that pays a higher fee"},
			&urfave.StringFlag{Name: "wallet", Usage: "pay from the node's wallet `NAME`, empty for the unnamed wallet", DefaultText: "the loaded wallet"},
			&urfave.StringFlag{Name: "fee-rate", Usage: "pay `SAT_VB` sat per virtual byte", DefaultText: "the node's estimate"},
			&urfave.IntFlag{Name: "conf-target", Usage: "let the node estimate the fee for being mined within `N` blocks", Value: 6},
			&urfave.Int64Flag{Name: "max-fee", Usage: "refuse a fee above `SAT`", Value: 50_000},
			&urfave.BoolFlag{Name: "yes", Usage: "send without asking"},
			flags.DBPath("record a broadcast in the reorg database `DIR` (default: reorg_db in the data directory)"),
		}, flags.BitcoinRPC(), []urfave.Flag{
			flags.MaxMemory(),
			cli.JSONFlag,
			cli.QuietFlag,
		}),
		Leaves: "after --broadcast or --bump, run the same command again to continue; nothing is paid twice",
		Run: func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
			o, err := options(c, out.Now())
			if err != nil {
				return exit.Fail(Name+" --help shows the usage", err) // wrong flags or arguments
			}
			if o.sends() && !o.Yes && (o.StateFile == "-" || !out.Interactive()) {
				return exit.Failf("add --yes to send without confirmation", "cannot ask for confirmation before sending: there is no terminal")
			}
			return Run(ctx, o, out)
		},
	}
}

func options(c *urfave.Context, now time.Time) (Options, error) {
	o := Options{
		StateFile:   c.String("l2-state-file"),
		DataDir:     flags.ParseDataDir(c),
		Output:      c.String("output"),
		DryRun:      c.Bool("dry-run"),
		Metadata:    c.String("recovery-metadata"),
		TimestampMs: uint64(now.UnixMilli()),
		Tapscript:   c.Bool("tapscript"),
	}
	var err error
	if o.Checking, err = flags.ParseChecking(c); err != nil {
		return o, err
	}
	if text := c.String("timestamp-ms"); c.IsSet("timestamp-ms") {
		o.TimestampSet = true
		if o.TimestampMs, err = strconv.ParseUint(text, 10, 64); err != nil {
			return o, fmt.Errorf("--timestamp-ms %q is not a time in Unix milliseconds", text)
		}
	}
	if err := o.parseBitcoin(c); err != nil {
		return o, err
	}
	switch {
	case o.StateFile == "" && o.Bump == "":
		return o, errors.New("the flag --l2-state-file is missing")
	case strings.Contains(o.Metadata, "\n"):
		return o, errors.New("--recovery-metadata contains a newline, which no node could read back")
	case o.Broadcast && !utf8.ValidString(o.Metadata):
		return o, errors.New("--recovery-metadata is not valid UTF-8")
	case c.IsSet("output") && o.Output == "":
		return o, errors.New("--output is empty")
	case o.DataDir == "" && o.Output == "":
		return o, errors.New("--data-dir is empty")
	}
	return o, nil
}

func (o *Options) sends() bool { return (o.Broadcast || o.Bump != "") && !o.DryRun }

func (o *Options) parseBitcoin(c *urfave.Context) (err error) {
	if o.Bitcoin, o.AskNode, err = flags.ParseBitcoinRPC(c); err != nil {
		return err
	}
	o.Broadcast, o.Bump, o.Wallet, o.Yes = c.Bool("broadcast"), c.String("bump"), c.String("wallet"), c.Bool("yes")
	o.AskNode = o.AskNode || o.Broadcast
	if o.DBPath = flags.ParseDBPath(c); o.DBPath == "" {
		o.DBPath = filepath.Join(o.DataDir, "reorg_db")
	}
	o.Fees = wallet.Fees{ConfTarget: c.Int("conf-target"), Max: c.Int64("max-fee")}
	if text := c.String("fee-rate"); c.IsSet("fee-rate") {
		if o.Fees.Rate, err = parseFeeRate(text); err != nil {
			return err
		}
	}
	switch {
	case c.IsSet("bump") && o.StateFile != "", c.IsSet("bump") && o.Broadcast:
		return errors.New("--bump takes no state: omit --l2-state-file and --broadcast")
	case c.IsSet("bump") && !anchorHash.MatchString(o.Bump):
		return fmt.Errorf("--bump %q is not an anchor hash (64 lower-case hex digits)", o.Bump)
	case c.IsSet("fee-rate") && c.IsSet("conf-target"):
		return errors.New("--fee-rate and --conf-target cannot be used together")
	case o.Fees.ConfTarget < 1 || o.Fees.ConfTarget > 1008:
		return fmt.Errorf("--conf-target must be from 1 to 1008, not %d", o.Fees.ConfTarget)
	case o.Fees.Max < 1:
		return fmt.Errorf("--max-fee must be at least 1, not %d", o.Fees.Max)
	}
	return nil
}

var (
	anchorHash = regexp.MustCompile("^[0-9a-f]{64}$")
	feeRate    = regexp.MustCompile(`^([0-9]{1,7})(?:\.([0-9]{1,3}))?$`)
)

// parseFeeRate reads a rate in sat/vB with up to three decimals, as nodes do, and
// returns it in sat per 1,000 vB.
func parseFeeRate(text string) (uint64, error) {
	parts := feeRate.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("--fee-rate %q is not a rate in sat/vB such as 12 or 1.5", text)
	}
	rate, err := strconv.ParseUint(parts[1]+(parts[2] + "000")[:3], 10, 64)
	if err == nil && rate == 0 {
		err = errors.New("--fee-rate 0 would pay nothing")
	}
	return rate, err
}
