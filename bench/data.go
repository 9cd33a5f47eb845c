package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand"
	"os"
	"slices"
	"strings"

	"ailee-recovery/snapshot"
)

// writeData writes a file of count snapshots of about size bytes each, sorted as a node writes
// them, each with a valid anchor. The same arguments give the same bytes. An existing file is
// kept.
func writeData(path string, count, size int) error {
	return writeFile(path, func(w io.Writer) error {
		rng := rand.New(rand.NewSource(1))
		for i := range count {
			if err := writeSnapshot(w, rng, uint64(1739577600000+i*600_000), size); err != nil {
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
func writeSnapshot(w io.Writer, rng *rand.Rand, timestampMs uint64, size int) error {
	random := func(n int) string { return random(rng, n) }
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
	slices.SortFunc(st.Ledger.Balances, func(a, b snapshot.Balance) int { return strings.Compare(a.PeerID, b.PeerID) })
	slices.SortFunc(st.Ledger.Escrows, func(a, b snapshot.Escrow) int { return strings.Compare(a.TaskID, b.TaskID) })
	slices.SortFunc(st.Bridge.PegIns, func(a, b snapshot.PegIn) int { return strings.Compare(a.PegID, b.PegID) })
	slices.SortFunc(st.Orchestration.Tasks, func(a, b snapshot.Task) int { return strings.Compare(a.TaskID, b.TaskID) })
	root := snapshot.Root(st)
	metadata := fmt.Sprintf("btc_height=%d", 880_000+timestampMs%1000)
	st.Anchor = snapshot.NewAnchor(root, timestampMs, metadata)
	return snapshot.Encode(w, st)
}
