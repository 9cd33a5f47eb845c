package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/reorgdb"
)

// writerTip is the tip of the chain whose blocks the writers store.
const writerTip = 40

// A writer creates a database, writes to it, and opens it again. It calls wrote with each record that
// it may rely on from then on.
type writer func(path string, wrote func(key, value string)) error

// writers run as separate processes, which are this test with the name of the writer in the
// environment.
var writers = map[string]writer{
	"an older node": func(path string, wrote func(key, value string)) error {
		return errors.Join(olderNode(path, 0, wrote), olderNode(path, writerTip/2, wrote))
	},
	"a newer node": func(path string, wrote func(key, value string)) error {
		return errors.Join(newerNode(path, 0, wrote), newerNode(path, writerTip/2, wrote))
	},
	"the tools": theTools,
}

const writerEnv = "AILEE_FAULTS_WRITER"

// write runs the writer that the environment names, on the folder in the first argument, and prints
// what it wrote.
func write(name string) int {
	err := writers[name](os.Args[1], func(key, value string) {
		if _, err := fmt.Printf("%s %s\n", key, value); err != nil {
			os.Exit(1)
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// node is a database, opened as nodes open it.
type node struct {
	rocks    *grocksdb.DB
	families []*grocksdb.ColumnFamilyHandle // nil for older nodes
	wrote    func(key, value string)
}

func nodeOptions() *grocksdb.Options {
	opts := grocksdb.NewDefaultOptions()
	opts.SetCreateIfMissing(true)
	return opts
}

func olderNode(path string, from int64, wrote func(key, value string)) error {
	db, err := grocksdb.OpenDb(nodeOptions(), path)
	if err != nil {
		return err
	}
	n := node{rocks: db, wrote: wrote}
	return n.run(from)
}

// newerNode opens a database as nodes with a second column family do: if that fails, they open it
// without the family and create it.
func newerNode(path string, from int64, wrote func(key, value string)) error {
	names := []string{"default", "reputation_cf"}
	open := func() (*grocksdb.DB, []*grocksdb.ColumnFamilyHandle, error) {
		opts := nodeOptions()
		return grocksdb.OpenDbColumnFamilies(opts, path, names, []*grocksdb.Options{opts, opts})
	}
	db, families, err := open()
	if err != nil {
		opts := nodeOptions()
		if db, err = grocksdb.OpenDb(opts, path); err != nil {
			return err
		}
		family, err := db.CreateColumnFamily(opts, names[1])
		if err != nil {
			return err
		}
		family.Destroy()
		db.Close()
		if db, families, err = open(); err != nil {
			return err
		}
	}
	n := node{rocks: db, families: families, wrote: wrote}
	return n.run(from)
}

// run writes blocks and a reorg, and flushes and compacts, in the ways of a node.
func (n *node) run(from int64) error {
	chain := bitcointest.NewChain(writerTip)
	to := from + writerTip/2
	for height := from; height < to; height++ {
		if err := n.put(fmt.Sprintf("block:%020d", height), chain.Hash(height)); err != nil {
			return err
		}
		flush := grocksdb.NewDefaultFlushOptions()
		if height == from+5 || height == from+10 {
			if err := n.rocks.Flush(flush); err != nil {
				return err
			}
		}
	}
	batch := grocksdb.NewWriteBatch()
	id := from * 2 / writerTip
	event := fmt.Sprintf("%d|%s|%s|5|0", to-1, chain.Hash(0), chain.Hash(to-1))
	batch.Put(fmt.Appendf(nil, "reorg:%020d", id), []byte(event))
	batch.Put([]byte("reorg_counter"), fmt.Append(nil, id+1))
	if err := n.rocks.Write(grocksdb.NewDefaultWriteOptions(), batch); err != nil {
		return err
	}
	n.wrote(fmt.Sprintf("reorg:%020d", id), event)
	if n.families != nil {
		if err := n.rocks.PutCF(grocksdb.NewDefaultWriteOptions(), n.families[1], []byte("peer"), []byte("opaque")); err != nil {
			return err
		}
	}
	n.rocks.CompactRange(grocksdb.Range{})
	if err := n.put("anchor:aa", fmt.Sprintf("aa|bb|%d|0|1|0|2|rr", from)); err != nil {
		return err
	}
	for _, family := range n.families {
		family.Destroy()
	}
	n.rocks.Close()
	return nil
}

// put writes a record without a sync, which must nevertheless outlive the process.
func (n *node) put(key, value string) error {
	err := n.rocks.Put(grocksdb.NewDefaultWriteOptions(), []byte(key), []byte(value))
	if err == nil {
		n.wrote(key, value)
	}
	return err
}

// theTools writes as the tools do: single records and tables.
func theTools(path string, wrote func(key, value string)) error {
	chain := bitcointest.NewChain(writerTip)
	db, err := reorgdb.Create(path)
	if err != nil {
		return err
	}
	for height := range uint64(10) {
		err := db.Update(func(u *reorgdb.Update) error {
			_, _, err := u.Block(context.Background(), reorgdb.Block{Height: height, Hash: chain.Hash(int64(height))}, 1)
			return err
		})
		if err != nil {
			return err
		}
		wrote(fmt.Sprintf("block:%020d", height), chain.Hash(int64(height)))
	}
	if err := db.Close(); err != nil {
		return err
	}
	if db, err = reorgdb.Open(path); err != nil {
		return err
	}
	const first = 10
	var hashes []byte
	for height := int64(first); height < 20; height++ {
		hashes = append(hashes, chain.Hash(height)...)
	}
	if err := db.AppendBlocks(first, hashes); err != nil {
		return err
	}
	for height := int64(first); height < 20; height++ {
		wrote(fmt.Sprintf("block:%020d", height), chain.Hash(height))
	}
	return errors.Join(db.Sync(), db.Close())
}

// TestKilledWritersDamageNothing kills every writer of a database at every system call. What is left is
// sound for every tool, and has everything that was written.
func TestKilledWritersDamageNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector does not see other processes")
	}
	inMemory(t)
	url := bitcointest.NewChain(writerTip).Serve(t)
	for name := range writers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scratch := t.TempDir()
			n := 0
			killedAt(t, name, filepath.Join(scratch, "whole"), func(call) bool { n++; return false })
			// Most states that look like damage occur at the beginning.
			ks := append(sample(min(n, 40), 8), sample(n, 5)...)
			if *all {
				ks = sample(n, n)
			} else {
				countExisting(name, "KILL", n)
			}
			slices.Sort(ks)
			for _, k := range slices.Compact(ks) {
				root := filepath.Join(scratch, fmt.Sprint(k))
				calls, hit := 0, call{}
				said := killedAt(t, name, root, func(c call) bool {
					if calls++; calls == k {
						hit = c
					}
					return calls == k
				})
				if hit.name == "" {
					continue // the number of calls depends on the threads: there were fewer this time
				}
				count(name, "KILL", hit.name)
				if err := killedIsSound(t, root, said, url); err != nil {
					t.Errorf("%s, killed at call %d, %s %s: %v\n%v", name, k, hit.name, hit.path, err, namesIn(filepath.Join(root, "reorg_db")))
				}
				require.NoError(t, os.RemoveAll(root))
			}
		})
	}
}

// killedAt runs a writer on root/reorg_db, kills it before a call, and returns the records that it had
// written.
func killedAt(t *testing.T, name, root string, at func(call) bool) map[string]string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "tmp"), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer out.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	path, killed := filepath.Join(root, "reorg_db"), false
	env := append(os.Environ(), writerEnv+"="+name, "TMPDIR="+filepath.Join(root, "tmp"))
	status, err := trace(ctx, []string{self, path}, env, out, os.Stderr, root, func(c call) fault {
		// RocksDB's own log, which only people read, does not matter.
		if !strings.HasPrefix(c.path, "reorg_db") || filepath.Base(c.path) == "LOG" || c.name == "close" || killed {
			return fault{}
		}
		killed = at(c)
		return fault{kill: killed}
	})
	require.NoError(t, err)
	require.True(t, killed || status.ExitStatus() == 0, "%v", status)
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	said := map[string]string{}
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		said[string(key)] = string(value)
	}
	return said
}

// killedIsSound checks what a killed writer left with all tools.
func killedIsSound(t *testing.T, root string, want map[string]string, url string) error {
	t.Helper()
	path, copied := filepath.Join(root, "reorg_db"), filepath.Join(root, "copied")
	if names := namesIn(path); len(names) == 0 {
		if len(want) > 0 {
			return fmt.Errorf("there is nothing, but %d records were written", len(want))
		}
		return nil
	}
	before := namesIn(path)
	for _, args := range [][]string{
		{bin(reorgverify.Name), "--db-path", path},
		{bin(reorgshow.Name), "--db-path", path, "events"},
		{bin(reorgshow.Name), "--db-path", path, "families"},
		{bin(initreorgdb.Name), "--path", copied, "--copy-from", path},
		{bin(resyncblocks.Name), "--check", "--db-path", path, "--bitcoin-rpc", url},
		{bin(resyncblocks.Name), "--dry-run", "--start-height", "0", "--db-path", path, "--bitcoin-rpc", url},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(root, "tmp"))
		said, err := cmd.CombinedOutput()
		if err != nil || bytes.Contains(said, []byte("damage")) {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, said)
		}
	}
	if after := namesIn(path); !slices.Equal(before, after) {
		return fmt.Errorf("reading it changed the folder: before %q", before)
	}
	for _, path := range []string{path, copied} {
		if err := hasAll(t, path, want); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{bin(initreorgdb.Name), "--path", path, "--if-missing"},
		{bin(resyncblocks.Name), "--start-height", "0", "--db-path", path, "--bitcoin-rpc", url},
		{bin(reorgverify.Name), "--db-path", path, "--bitcoin-rpc", url},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(root, "tmp"))
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, said)
		}
	}
	return hasAll(t, path, want)
}

// hasAll returns an error unless the records that were written are there. A record that was overwritten
// since only needs the same key.
func hasAll(t *testing.T, path string, want map[string]string) error {
	t.Helper()
	found := records(t.Context(), path)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !strings.Contains(found, "default/"+key+" ") {
			return fmt.Errorf("%s: %s is missing: %s", path, key, excerpt(found))
		}
		if strings.HasPrefix(key, "block:") && !strings.Contains(found, "default/"+key+" "+want[key]+"\n") {
			return fmt.Errorf("%s: %s is not %s: %s", path, key, want[key], excerpt(found))
		}
	}
	return nil
}

func namesIn(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
