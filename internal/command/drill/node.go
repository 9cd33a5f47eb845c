package drill

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"ailee-recovery/internal/drillchain"
	"ailee-recovery/internal/exit"
)

// node returns the path of a file in the node's data directory.
func (d *drill) node(names ...string) string { return d.path(append([]string{nodePart}, names...)...) }

func (d *drill) snapshotFile() string { return d.node("l2_snapshots.dat") }

// sample returns the path of the k-th snapshot that the node writes.
func (d *drill) sample(k int) string { return d.path(samplesPart, strconv.Itoa(k)+".dat") }

// sampleTime is the time of sample 0, in Unix milliseconds.
const sampleTime = 1739577600000

// build makes the node's directory, and count snapshots for the node to append.
func (d *drill) build(count int) {
	d.step(fmt.Sprintf("make %d anchored snapshot(s)", count), func() error { return d.makeSamples(count) })
	d.step("make the data directory of a node", d.exits(exit.OK, initNode, "--quiet", "--data-dir", d.node()))
	d.step("it verifies", d.holds(1))
}

func (d *drill) makeSamples(count int) error {
	var all []byte
	for k := 1; k <= count; k++ {
		if err := own(os.WriteFile(d.path(samplesPart, "state.json"), sampleState(k), 0o600)); err != nil {
			return err
		}
		err := d.exits(exit.OK, createAnchor, "--quiet", "--l2-state-file", d.path(samplesPart, "state.json"),
			"--timestamp-ms", strconv.Itoa(sampleTime+k), "--output", d.sample(k))()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(d.sample(k))
		if err != nil {
			return err
		}
		all = append(all, text...)
	}
	file := d.path(samplesPart, "all.dat")
	if err := own(os.WriteFile(file, all, 0o600)); err != nil {
		return err
	}
	return d.allValid(file, count)()
}

// sampleState returns the state of a sample, as a state file for ailee_create_anchor.
func sampleState(k int) []byte {
	type balance struct {
		PeerID  string `json:"peerId"`
		Balance int    `json:"balance"`
	}
	var balances []balance
	for i := 1; i <= 8; i++ {
		balances = append(balances, balance{fmt.Sprintf("peer-%d", i), k*1000 + i})
	}
	none := []struct{}{}
	text, err := json.Marshal(map[string]any{
		"snapshotTimestampMs": sampleTime + k,
		"ledger":              map[string]any{"balances": balances, "escrows": none},
		"bridge":              map[string]any{"pegins": none, "pegouts": none},
		"orchestration":       map[string]any{"tasks": none},
	})
	if err != nil {
		panic(err) // this cannot fail
	}
	return text
}

// appendTo is a step that appends text to a file, in pieces like those that a node writes.
func appendTo(file string, text []byte) func() error {
	return func() error {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		for piece := range slices.Chunk(text, 300) {
			if err == nil {
				_, err = f.Write(piece)
			}
		}
		return own(errors.Join(err, f.Close()))
	}
}

// equals is a step in which a file has exactly these bytes.
func equals(file string, want []byte) func() error {
	return func() error {
		got, err := os.ReadFile(file)
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%s does not have the expected content (%d bytes, expected %d)", file, len(got), len(want))
		}
		return err
	}
}

// allSnapshots is the result of ailee_l2_verify --all.
type allSnapshots struct {
	Count       int `json:"count"`
	NewestValid int `json:"newest_valid"`
}

// allValid is a step in which a file has count snapshots, all of them valid, and nothing else.
func (d *drill) allValid(file string, count int) func() error {
	return reports(&d.toolbox, exit.OK, func(all allSnapshots) error {
		if all.Count != count || all.NewestValid != count {
			return fmt.Errorf("that of %d snapshots the newest valid is %d, not %d of %d", all.Count, all.NewestValid, count, count)
		}
		return nil
	}, l2Verify, "--all", "--strict", "--snapshot", file)
}

// holds is a step in which the node's file verifies, as the nodes' own verifier does it, and has
// count snapshots, all of them valid.
func (d *drill) holds(count int) func() error {
	return func() error {
		s, err := d.run(l2Verify, "--snapshot", d.snapshotFile())
		if err != nil {
			return err
		}
		if s.code != exit.OK || !bytes.Contains(s.stdout, []byte("\nVerification OK.\n")) {
			return errors.New(s.outcome(l2Verify) + ", but does not say that it verified")
		}
		return d.allValid(d.snapshotFile(), count)()
	}
}

// database is the result of ailee_reorg_verify.
type database struct {
	Blocks struct {
		Count, Lowest, Highest, Missing int64
	} `json:"blocks"`
	NextID  int64            `json:"next_event_id"`
	Records map[string]int64 `json:"records"`
}

// databaseHolds is a step in which the database has all blocks up to the height tip, and this
// number of reorg events.
func (d *drill) databaseHolds(tip, events int64) func() error {
	return reports(&d.toolbox, exit.OK, func(db database) error {
		b := db.Blocks
		if b.Count != tip+1 || b.Lowest != 0 || b.Highest != tip || b.Missing != 0 {
			return fmt.Errorf("that there are %d blocks, heights %d to %d, and %d missing, not %d to height %d", b.Count, b.Lowest, b.Highest, b.Missing, tip+1, tip)
		}
		if db.NextID != events || db.Records["reorg"] != events {
			return fmt.Errorf("that there are %d reorg events, the next with the id %d, not %d", db.Records["reorg"], db.NextID, events)
		}
		return nil
	}, reorgVerify, "--recent", "0", "--db-path", d.db)
}

// chainTip is the initial height of the chain.
const chainTip = 120

// startChain starts the chain from which the node's database is filled.
func (d *drill) startChain() {
	if d.err != nil {
		return
	}
	onPath := "no bitcoind or btcd on PATH: "
	warn := func(format string, args ...any) {
		onPath = ""
		d.out.Warn(format, args...)
	}
	var err error
	if d.chain, err = drillchain.Start(d.ctx, d.path(bitcoinPart), warn); err != nil {
		d.chain = nil
		d.err = own(err)
		return
	}
	d.env = append(d.env, drillchain.Login(d.path(bitcoinPart))...)
	switch kind := d.chain.Kind(); kind {
	case drillchain.MadeUp:
		d.out.Printf("chain   %sa made-up chain\n", onPath)
	default:
		d.out.Printf("chain   %s in regression test mode\n", kind)
	}
	d.step(fmt.Sprintf("mine %d blocks", chainTip), func() error { return own(d.chain.Mine(d.ctx, chainTip)) })
	d.tip = chainTip
}

// reorganise replaces the last blocks of the chain with others, and adds one.
func (d *drill) reorganise() {
	d.step(fmt.Sprintf("replace the last %d block(s) with %d others", d.o.ReorgDepth, d.o.ReorgDepth+1),
		func() error { return own(d.chain.Replace(d.ctx, d.o.ReorgDepth)) })
	d.tip++
}

// asked returns arguments for ailee_resync_blocks, with the database and the chain.
func (d *drill) asked(args ...string) []string {
	if d.chain == nil {
		return args // an earlier step has failed
	}
	return append(args, "--bitcoin-rpc", d.chain.URL(), "--db-path", d.db)
}

func (d *drill) resync(args ...string) func() error {
	return d.exits(exit.OK, resyncBlocks, d.asked(append(args, "--quiet")...)...)
}

// fill fills the database from the chain.
func (d *drill) fill() {
	d.step("fill the database", d.resync())
	d.step("it has every block", d.databaseHolds(d.tip, 0))
}

// comparison is the result of ailee_resync_blocks --check.
type comparison struct {
	Equal     int64 `json:"equal"`
	Differing int64 `json:"differing"`
}

// compares is a step in which these numbers of stored blocks agree with the chain and differ.
func (d *drill) compares(equal, differing int64) func() error {
	code := exit.OK
	if differing > 0 {
		code = exit.Wrong
	}
	return reports(&d.toolbox, code, func(c comparison) error {
		if c.Equal != equal || c.Differing != differing {
			return fmt.Errorf("that %d blocks are equal and %d differ, not %d and %d", c.Equal, c.Differing, equal, differing)
		}
		return nil
	}, resyncBlocks, d.asked("--check")...)
}
