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
	// extractedCount is how many small snapshots are extracted, of extractedSize bytes each.
	extractedCount = 113_000
	extractedSize  = 2355
	// openSnapshots is how many snapshots have a peg-out that names an anchor which a prune
	// has dropped, of openSize bytes each.
	openSnapshots = 4000
	openSize      = 12 << 10
)

// The files of smallRows.
const (
	extractedFile    = "extracted.dat"
	extractedArchive = "extracted.tar" // of the files that extracting creates from it
	openFile         = "open.dat"
)

// writeTar writes an archive of the files that extracting creates from a snapshot file.
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

// writeOpen writes snapshots of which only the first is valid. Each of the others has a
// peg-out that names a different anchor, which is in no snapshot.
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

// smallRows returns the rows for many small snapshots, and for peg-outs whose anchors are missing.
func smallRows(dir, bin string) []work {
	small, archive, open := filepath.Join(dir, extractedFile), filepath.Join(dir, extractedArchive), filepath.Join(dir, openFile)
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
