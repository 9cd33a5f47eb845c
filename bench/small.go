package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ailee-recovery/snapshot"
)

const (
	// smallSnapshots is how many small snapshots are extracted, of smallSize bytes each.
	smallSnapshots = 113_000
	smallSize      = 2355
	// openSnapshots is how many snapshots have a peg-out that names an anchor which a prune
	// has dropped, of openSize bytes each.
	openSnapshots = 4000
	openSize      = 12 << 10
)

// makeSmall makes the files of smallRows.
func makeSmall(dir string) error {
	small := filepath.Join(dir, "small.dat")
	if err := writeData(small, smallSnapshots, smallSize); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "small.tar"), func(w io.Writer) error { return writeTar(w, small) }); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "open.dat"), writeOpen)
}

// writeTar writes an archive of the files that extracting makes of a snapshot file.
func writeTar(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for l, err := range snapshot.Forward(f, info.Size()) {
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Name: fmt.Sprintf("snapshot_%d.dat", l.Index), Mode: 0o644, Size: l.Size, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.Copy(archive, io.NewSectionReader(f, l.Offset, l.Size)); err != nil {
			return err
		}
	}
	return archive.Close()
}

// writeOpen writes snapshots that are not valid, except for the first: each has a peg-out
// whose anchor is in no snapshot, another one each.
func writeOpen(w io.Writer) error {
	rng := rand.New(rand.NewSource(1))
	for i := range openSnapshots {
		st := &snapshot.State{TimestampMs: uint64(1739577600000 + i*600_000)}
		for range openSize / 79 {
			st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: peerID(rng), Balance: uint64(rng.Int63n(1e15))})
		}
		slices.SortFunc(st.Ledger.Balances, func(a, b snapshot.Balance) int { return strings.Compare(a.PeerID, b.PeerID) })
		if i > 0 {
			st.Bridge.PegOuts = []snapshot.PegOut{{PegID: "pegout-1", AileeSource: "ailee1", BtcDest: "bc1q", AileeBurnAmount: 1, AnchorCommitmentHash: digest("pruned", uint64(i))}}
		}
		st.Anchor = snapshot.NewAnchor(snapshot.Root(st), st.TimestampMs, "")
		var text bytes.Buffer
		if err := snapshot.Encode(&text, st); err != nil {
			return err
		}
		if _, err := w.Write(text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// smallRows are the rows of many small snapshots, and of peg-outs whose anchors are not
// there.
func smallRows(dir, bin string) []work {
	small, archive, open := filepath.Join(dir, "small.dat"), filepath.Join(dir, "small.tar"), filepath.Join(dir, "open.dat")
	all := bin + "/ailee_l2_verify --all --accept-earlier-anchors --snapshot " + open + " > /dev/null || test $? = 2"
	return []work{
		{name: "extract 113,000 snapshots of 2.3 KiB, against `tar -x` of the same files and `sync`",
			ours:      bin + "/ailee_extract_snapshots -q " + small + " $OUT",
			reference: "mkdir $OUT && tar -x -f " + archive + " -C $OUT && sync",
			ratio:     1.3, writes: true},
		{name: "find the newest valid of 4,000 snapshots whose peg-outs name dropped anchors, against `--all`",
			ours:      bin + "/ailee_extract_snapshots --dry-run --newest-valid --accept-earlier-anchors " + open + " $OUT",
			reference: all,
			ratio:     1.5},
		{name: "plan to prune the same file, against `--all`",
			ours:      bin + "/ailee_prune_snapshots --dry-run --accept-earlier-anchors --discard-newest-valid --keep 10 --file " + open,
			reference: all,
			ratio:     1.5},
	}
}
