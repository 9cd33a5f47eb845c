package reorgtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"ailee-recovery/reorgdb"
)

// NodeName is the name of the stand-in for a running node.
const NodeName = "ailee_node"

// node is a stand-in for a running node, run as a separate process: ailee_node DB has the
// database open and keeps writing blocks, reorgs, anchors and new tables. It prints "ready" once
// it has begun, and ends when its standard input ends.
func node() {
	if err := keepWriting(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func keepWriting(path string) error {
	db, err := reorgdb.Open(path)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	ctx := context.Background()
	highest, _, err := db.HighestBlock()
	if err != nil {
		return err
	}
	for round := uint64(0); ; round++ {
		select {
		case <-ended:
			return db.Close()
		default:
		}
		err := db.Update(func(u *reorgdb.Update) error {
			for i := range uint64(20) {
				// Every tenth round replaces blocks.
				height := highest.Height + i + 1 - round%10/9*10
				hash := fmt.Sprintf("%064x", height<<20|round)
				if _, _, err := u.Block(ctx, reorgdb.Block{Height: height, Hash: hash}, round); err != nil {
					return err
				}
				if err := u.Anchor(reorgdb.Anchor{Hash: hash, BitcoinTxID: hash, BitcoinHeight: height, Status: reorgdb.Confirmed, L2StateRoot: hash}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		highest.Height += 20 - round%10/9*10
		if round%5 == 0 {
			if err := db.Sync(); err != nil {
				return err
			}
		}
		if round == 0 {
			fmt.Println("ready")
		}
	}
}

// StartNode starts the stand-in and waits until it writes.
func StartNode(path string) (stop func() error, err error) {
	cmd := exec.Command(NodeName, path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		return nil, fmt.Errorf("the node printed %q: %v", line, err)
	}
	return func() error {
		_ = in.Close()
		return cmd.Wait()
	}, nil
}
