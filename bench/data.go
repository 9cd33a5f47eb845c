package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ailee-recovery/snapshot"
)

// stateSize is the approximate size of state.json.
const stateSize = 97 * mib

// datum is a file or folder that is made once, the same bytes every time.
type datum struct {
	name string // in the folder of the data; a name that starts with it counts as well
	make func(path string) error
}

// data returns all of them, each after those that it is made from.
func data(dir, bin string) []datum {
	snapshots := func(shape shape) func(string) error {
		return func(path string) error { return writeData(path, shape) }
	}
	many := filepath.Join(dir, "many.dat")
	return []datum{
		{"one.dat", snapshots(shape{count: 1, size: 500 * mib})},
		{"many.dat", snapshots(shape{count: 1000, size: 1 << 30 / 1000})},
		{"few.dat", snapshots(shape{count: 10, size: 1 << 30 / 1000})},
		{"kept.dat", func(path string) error {
			if _, err := os.Stat(path); err == nil {
				return nil
			}
			if err := writeData(many, shape{count: 1000, size: 1 << 30 / 1000}); err != nil {
				return err
			}
			out, err := exec.Command(bin+"/ailee_prune_snapshots", "-q", "--file", many, "--keep", "500", "--output", path).CombinedOutput()
			if err != nil {
				return fmt.Errorf("prune: %w: %s", err, out)
			}
			return nil
		}},
		{nodeDir + "/l2_snapshots.dat", snapshots(shape{count: 5000, size: 5 << 30 / 5000})},
		{tinyFile, snapshots(shape{count: 1, size: tinySize})},
		{smallFile, snapshots(shape{count: verifiedBytes / smallSize, size: smallSize})},
		{smallShuffledFile, snapshots(shape{count: verifiedBytes / smallSize, size: smallSize, shuffled: true})},
		{mediumShuffledFile, snapshots(shape{count: verifiedBytes / mediumSize, size: mediumSize, shuffled: true})},
		{largeShuffledFile, snapshots(shape{count: verifiedBytes / largeSize, size: largeSize, shuffled: true})},
		{smallestFile, writeSmallest},
		{extractedFile, snapshots(shape{count: extractedCount, size: extractedSize})},
		{extractedArchive, func(path string) error {
			extracted := filepath.Join(dir, extractedFile)
			if err := writeData(extracted, shape{count: extractedCount, size: extractedSize}); err != nil {
				return err
			}
			return writeFile(path, func(w io.Writer) error { return writeTar(w, extracted) })
		}},
		{openFile, func(path string) error { return writeFile(path, writeOpen) }},
		{"state.json", func(path string) error { return writeState(path, 1_000_000) }},
		{"deep.", func(string) error { return makeDeep(dir) }},
		{"reorg_db", func(path string) error { return makeDatabase(path, dbBlocks, 0, dbAnchors, blockHash) }},
		{btcctl, buildBtcctl},
	}
}

// dataOf names the data that the commands of rows read.
func dataOf(rows []work, dir string) (names []string) {
	for _, d := range data(dir, "") {
		if slices.ContainsFunc(rows, func(w work) bool { return w.mentions(filepath.Join(dir, d.name)) }) {
			names = append(names, d.name)
		}
	}
	return names
}

// makeData makes the named data that are missing; without names, all that are missing.
func makeData(dir, bin string, names []string) error {
	for _, d := range data(dir, bin) {
		if len(names) > 0 && !slices.Contains(names, d.name) {
			continue
		}
		path := filepath.Join(dir, d.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := d.make(path); err != nil {
			return err
		}
	}
	return nil
}

// shape is what a file of snapshots looks like.
type shape struct {
	count, size int  // the number of snapshots, and the approximate size of each
	shuffled    bool // the records of each section are in any order
}

// writeData writes a file of snapshots, each with an anchor that holds. The same shape
// gives the same bytes. An existing file is kept as it is.
func writeData(path string, s shape) error {
	return writeFile(path, func(w io.Writer) error {
		rng := rand.New(rand.NewSource(1))
		for i := range s.count {
			if err := writeSnapshot(w, rng, uint64(1739577600000+i*600_000), s); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeState writes a state in JSON with that many balances and nothing else.
func writeState(path string, balances int) error {
	return writeFile(path, func(w io.Writer) error {
		rng := rand.New(rand.NewSource(1))
		peers := make([]string, balances)
		for i := range peers {
			peers[i] = "12D3KooW" + random(rng, 22)
		}
		slices.Sort(peers)
		fmt.Fprint(w, `{"snapshotTimestampMs": 1739577600000, "ledger": {"balances": [`)
		for i, peer := range peers {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, "\n      {\"peerId\": %q, \"balance\": %d}", peer, rng.Int63n(1e15))
		}
		_, err := fmt.Fprint(w, `
    ], "escrows": []}, "bridge": {"pegins": [], "pegouts": []}, "orchestration": {"tasks": []}, "anchor": null}
`)
		return err
	})
}

func writeFile(path string, write func(io.Writer) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// firstPeer returns a peer in the first snapshot of each file that writeData makes.
func firstPeer() string { return peerID(rand.New(rand.NewSource(1))) }

func peerID(rng *rand.Rand) string { return "12D3KooW" + random(rng, 22) }

// random returns n random bytes in hex.
func random(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	rng.Read(b)
	return hex.EncodeToString(b)
}

// writeSnapshot writes a snapshot. Seven tenths of the bytes are balances, the rest escrows,
// peg-ins and tasks in equal parts.
func writeSnapshot(w io.Writer, rng *rand.Rand, timestampMs uint64, shape shape) error {
	random := func(n int) string { return random(rng, n) }
	size := shape.size
	st := &snapshot.State{TimestampMs: timestampMs}
	for range size * 7 / 10 / 79 {
		st.Ledger.Balances = append(st.Ledger.Balances,
			snapshot.Balance{PeerID: peerID(rng), Balance: uint64(rng.Int63n(1e15))})
	}
	for range size / 10 / 112 {
		st.Ledger.Escrows = append(st.Ledger.Escrows, snapshot.Escrow{
			TaskID: "task-" + random(8), ClientPeerID: "12D3KooW" + random(22), Amount: uint64(rng.Int63n(1e9)),
			Locked: rng.Intn(2) == 1, CreatedAt: timestampMs - uint64(rng.Intn(1e6))})
	}
	for range size / 10 / 236 {
		st.Bridge.PegIns = append(st.Bridge.PegIns, snapshot.PegIn{
			PegID: "pegin-" + random(6), BtcTxID: random(32), Vout: uint32(rng.Intn(10)), BtcAmount: uint64(rng.Int63n(1e9)),
			BtcSource: "bc1q" + random(19), AileeDest: "ailee1" + random(19), Status: int32(rng.Intn(5)),
			Confirmations: uint64(rng.Intn(200)), InitiatedTime: timestampMs / 1000, CompletedTime: timestampMs/1000 + 50})
	}
	for range size / 10 / 195 {
		st.Orchestration.Tasks = append(st.Orchestration.Tasks, snapshot.Task{
			TaskID: "t-" + random(10), TaskType: int32(rng.Intn(8)), Priority: int32(rng.Intn(4)), SubmitterID: "12D3KooW" + random(22),
			SubmittedAtMs: timestampMs - uint64(rng.Intn(1e6)), PayloadHash: random(32)})
	}
	arrange(shape.shuffled, st.Ledger.Balances, func(b snapshot.Balance) string { return b.PeerID })
	arrange(shape.shuffled, st.Ledger.Escrows, func(e snapshot.Escrow) string { return e.TaskID })
	arrange(shape.shuffled, st.Bridge.PegIns, func(p snapshot.PegIn) string { return p.PegID })
	arrange(shape.shuffled, st.Orchestration.Tasks, func(t snapshot.Task) string { return t.TaskID })
	root := snapshot.Root(st)
	metadata := fmt.Sprintf("btc_height=%d", 880_000+timestampMs%1000)
	st.Anchor = snapshot.NewAnchor(root, timestampMs, metadata)
	return snapshot.Encode(w, st)
}

// arrange sorts the records of a section, or leaves them in the random order in which
// they were drawn.
func arrange[R any](shuffled bool, records []R, key func(R) string) {
	if shuffled {
		return
	}
	slices.SortFunc(records, func(a, b R) int { return strings.Compare(key(a), key(b)) })
}
