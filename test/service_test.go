package test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// serviceName is the name of the stand-in for a node that systemd runs.
const serviceName = "ailee-node"

// service is that stand-in: ailee-node DIR. It starts as a node does: it loads the latest
// snapshot, whose root must be right, and opens the database. Then it writes "ready" to
// descriptor 4 and runs until SIGTERM. Before it ends it anchors its state, which is the snapshot
// in $PLACE/next.dat, if there is one.
func service() {
	stop, done := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer done()
	if err := serve(stop, os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func serve(stop context.Context, dir string) (err error) {
	path := filepath.Join(dir, "l2_snapshots.dat")
	if err := load(path); err != nil {
		return fmt.Errorf("Failed to load snapshot: %w", err)
	}
	db, err := reorgdb.Open(filepath.Join(dir, "reorg_db"))
	if err != nil {
		return fmt.Errorf("Database corrupted: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fmt.Println("The node has started")
	ready := os.NewFile(4, "ready")
	if _, err := ready.WriteString("ready\n"); err != nil {
		return err
	}
	if err := ready.Close(); err != nil {
		return err
	}
	<-stop.Done()
	return anchor(path)
}

func load(path string) error {
	// It opens the file for appending, as it will later.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	latest, err := snapshot.Latest(f, info.Size())
	if err != nil {
		return err
	}
	report, err := snapshot.NewChecker(nil).Check(context.Background(), f, latest)
	if err == nil && !report.Holding() {
		err = errors.New(string(report.Verdict()))
	}
	return err
}

func anchor(path string) error {
	text, err := os.ReadFile(filepath.Join(os.Getenv("PLACE"), "next.dat"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// bitcoinCLI is a stand-in for bitcoin-cli that only knows getblockcount.
func bitcoinCLI() {
	client, err := bitcoin.Open(bitcoin.Options{URL: os.Getenv("BITCOIN_RPC_URL")}, func(string, ...any) {})
	if err == nil && (len(os.Args) != 2 || os.Args[1] != "getblockcount") {
		err = fmt.Errorf("bitcoin-cli: %q is not supported here", os.Args[1:])
	}
	var count int64
	if err == nil {
		err = client.Call(context.Background(), "getblockcount", nil, &count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(count)
}
