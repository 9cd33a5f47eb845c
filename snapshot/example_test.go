package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"ailee-recovery/snapshot"
)

// Finds and checks the latest snapshot of a file, the one that a node loads.
func ExampleLatest() {
	f, err := os.Open("../testdata/golden/write/node-written-clean.dat")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		log.Fatal(err)
	}
	latest, err := snapshot.Latest(f, info.Size())
	if err != nil {
		log.Fatal(err) // snapshot.ErrNoSnapshot if there is none
	}
	report, err := snapshot.NewChecker(nil).Check(context.Background(), f, latest)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("verdict:", report.Verdict())
	fmt.Println("root:", report.Root)
	fmt.Println("balances:", report.Counts[snapshot.Balances])
	// Output:
	// verdict: valid
	// root: 0770985fc8da646e2364bf0c5978e76d71a8a011cd025b4ca87869cd44a429aa
	// balances: 5
}

// Checks all snapshots of a file, the oldest first.
func ExampleForward() {
	data, err := os.ReadFile("../testdata/golden/write/node-written-clean.dat")
	if err != nil {
		log.Fatal(err)
	}
	r := bytes.NewReader(data)
	checker := snapshot.NewChecker(nil)
	for located, err := range snapshot.Forward(r, r.Size()) {
		if err != nil {
			log.Fatal(err)
		}
		report, err := checker.Check(context.Background(), r, located)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d at byte %d: %s\n", report.Index, report.Offset, report.Verdict())
	}
	// Output:
	// 1 at byte 0: valid
	// 2 at byte 2232: valid
	// 3 at byte 4700: valid
}

// Reads the records of one section without keeping the others in memory.
func ExampleChecker_Records() {
	data, err := os.ReadFile("../testdata/golden/write/node-written-clean.dat")
	if err != nil {
		log.Fatal(err)
	}
	r := bytes.NewReader(data)
	latest, err := snapshot.Latest(r, r.Size())
	if err != nil {
		log.Fatal(err)
	}
	checker := snapshot.NewChecker(nil)
	report, err := checker.Check(context.Background(), r, latest)
	if err != nil {
		log.Fatal(err)
	}
	for record, err := range checker.Records(context.Background(), r, report, snapshot.Balances) {
		if err != nil {
			log.Fatal(err)
		}
		b := record.Value().(snapshot.Balance)
		fmt.Printf("%q %d\n", b.PeerID, b.Balance)
	}
	// Output:
	// "colon:colon12D3KooWb8475e728e9fd2d4ddb5c0443fc324c52d3924177e14" 18446744073709551615
	// "ünïcode12D3KooW22033377067766e6c08ae83088f78122cde81426bc33" 635128596903643
	// "plain12D3KooWfc033c7c0c00b5b0385408ce085d8a642e5c9e671629" 807757229027108
	// "ünïcode12D3KooW8deaaa94bf95717bb08cc5bcde5876c22b06132831ca" 1476188055345412
	// "12D3KooWc546fce20212c4c6ff70e43d8940d762536b9a92c376" 162478562857006
}

// Writes a state as a snapshot with an anchor that commits to it.
func ExampleEncode() {
	state := &snapshot.State{TimestampMs: 1739577600000}
	state.Ledger.Balances = []snapshot.Balance{{PeerID: "alice", Balance: 250}, {PeerID: "bob", Balance: 7}}
	state.Anchor = snapshot.NewAnchor(snapshot.Root(state), state.TimestampMs, "btc_height=883000")
	if err := snapshot.Encode(os.Stdout, state); err != nil {
		log.Fatal(err)
	}
	// Output:
	// SNAPSHOT v1
	// timestamp_ms 1739577600000
	// balances 2
	// balance "alice" 250
	// balance "bob" 7
	// escrows 0
	// pegins 0
	// pegouts 0
	// tasks 0
	// anchor "5a991358eda7fe626187bb12c5dc8dcfeece38c21d7b92e8a6a226e40700f69a" 1739577600000 "btc_height=883000" "5a991358eda7fe626187bb12c5dc8dcfeece38c21d7b92e8a6a226e40700f69a:1739577600000:btc_height=883000" "28a9d96e49919e991d132056b0b636b00bd73ef731e4f6c779c207647e6cc7ab"
	// END_SNAPSHOT
}
