package reorgdb_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// nodeDatabase returns a database that a node wrote, in a temporary folder.
func nodeDatabase() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err == nil {
		err = golden.Unpack("node-rocksdb-6.11.4", dir)
	}
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(dir, "node-rocksdb-6.11.4"), func() { _ = os.RemoveAll(dir) }
}

// List the anchors of a database. The node may be running.
func ExampleOpenReadOnly() {
	path, remove := nodeDatabase() // such as /var/lib/ailee/reorg_db
	defer remove()

	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for anchor, err := range db.Anchors(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("…%s %s at height %d\n", anchor.Hash[60:], anchor.Status, anchor.BitcoinHeight)
	}
	// Output:
	// …0001 CONFIRMED at height 839100
	// …0002 INVALIDATED_REORG at height 839990
	// …0003 INVALIDATED_REORG at height 839995
	// …0004 FAILED_ORPHANED at height 0
}

// List the reorgs that a node has seen.
func ExampleDB_Events() {
	path, remove := nodeDatabase()
	defer remove()

	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for event, err := range db.Events(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: height %d, %d anchor(s) invalidated\n", event.ID, event.Height, len(event.InvalidatedAnchors))
	}
	// Output:
	// 0: height 839990, 2 anchor(s) invalidated
	// 1: height 839995, 0 anchor(s) invalidated
	// 2: height 840000, 0 anchor(s) invalidated
}

// Make a change that is there completely or not at all. The node must be stopped.
func ExampleDB_Update() {
	path, remove := nodeDatabase()
	defer remove()

	db, err := reorgdb.Open(path)
	if err != nil {
		log.Fatal(err) // a *reorgdb.LockedError names the process that has the database open
	}
	defer db.Close()
	highest, _, err := db.HighestBlock()
	if err != nil {
		log.Fatal(err)
	}
	err = db.Update(func(u *reorgdb.Update) error {
		other := reorgdb.Block{Height: highest.Height, Hash: strings.Repeat("ab", 32)}
		seen, event, err := u.Block(context.Background(), other, 1739578200)
		if err == nil && seen == reorgdb.Replaced {
			fmt.Printf("a reorg at height %d\n", event.Height)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// a reorg at height 840000
}
