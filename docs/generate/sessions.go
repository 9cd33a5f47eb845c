package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ailee-recovery/internal/golden"
)

const (
	snapshotFile = "/var/lib/ailee/l2_snapshots.dat"
	database     = "/var/lib/ailee/reorg_db"
	stateFile    = "/tmp/current_state.json"

	// tip is the height of the chain on the day of the examples.
	tip = 847_690
)

// session prepares the data that the examples of a command find.
type session struct {
	before func(*world) error
	change map[int]func(*world) error // what happens before an example, by its index
}

// sessions has the session of each command; a command without one needs nothing.
var sessions = map[string]session{
	"ailee_l2_verify": {before: func(w *world) error {
		if err := w.write("/mnt/backups/l2_snapshots.dat", healthy); err != nil {
			return err
		}
		if err := w.runs("gzip /mnt/backups/l2_snapshots.dat"); err != nil {
			return err
		}
		return w.write(snapshotFile, tampered)
	}},
	"ailee_show_snapshot": {before: func(w *world) error { return w.write(snapshotFile, healthy) }},
	"ailee_diff_snapshots": {before: func(w *world) error {
		if err := w.write(snapshotFile, healthy); err != nil {
			return err
		}
		// The other node shares its first snapshots with this one.
		return w.runs("ailee_init_node --data-dir /tmp/other",
			"ailee_extract_snapshots --index 1-2 "+snapshotFile+" /tmp/parts",
			"cat /tmp/parts/snapshot_1.dat /tmp/parts/snapshot_2.dat > /tmp/other/l2_snapshots.dat",
			"ailee_extract_snapshots --last 1 --format json "+snapshotFile+" /tmp/states",
			`sed -i -e 's/162478562857006/162478562850000/' -e '/task-e549bf3be9e972f2/d' /tmp/states/snapshot_3.json`,
			"ailee_create_anchor --l2-state-file /tmp/states/snapshot_3.json --data-dir /tmp/other")
	}},
	"ailee_extract_snapshots": {before: func(w *world) error { return w.write(snapshotFile, tampered) }},
	"ailee_prune_snapshots":   {before: func(w *world) error { return w.write(snapshotFile, slices.Concat(slices.Repeat(healthy, 400), torn)) }},
	"ailee_recover_snapshots": {before: func(w *world) error {
		if err := w.runs("mkdir -p /var/lib/ailee/backups"); err != nil {
			return err
		}
		if err := w.write("/var/lib/ailee/backups/l2_snapshots_latest.dat.bak", healthy); err != nil {
			return err
		}
		return w.write(snapshotFile, tampered)
	}},
	"ailee_create_anchor": {
		before: func(w *world) error {
			if err := w.write(snapshotFile, healthy); err != nil {
				return err
			}
			return w.runs("ailee_init_reorg_db --path /var/lib/ailee/reorg_db",
				"ailee_extract_snapshots --last 1 --format json /var/lib/ailee/l2_snapshots.dat /tmp/states",
				"mv /tmp/states/snapshot_3.json "+stateFile)
		},
	},
	"ailee_get_snapshot_block": {before: anchoredNode, change: map[int]func(*world) error{1: func(w *world) error {
		w.chain.SetTip(tip + 144)
		return nil
	}}},
	"ailee_init_reorg_db": {before: func(w *world) error {
		if err := w.unpack("node-rocksdb-7.8.3-reopened"); err != nil {
			return err
		}
		if err := w.runs("mkdir -p /var/lib/ailee/backups /tmp/packed", "ailee_init_reorg_db --path /tmp/packed/reorg_db --copy-from "+database,
			"tar -C /tmp/packed -czf /var/lib/ailee/backups/reorg_db_20250215_101700.tar.gz reorg_db", "rm -r /tmp/packed"); err != nil {
			return err
		}
		tables, err := filepath.Glob(w.path(database + "/*.sst"))
		if err != nil {
			return err
		}
		return overwrite(tables[0])
	}},
	"ailee_reorg_verify": {before: func(w *world) error {
		if err := anchoredNode(w); err != nil {
			return err
		}
		w.chain.Reorganise(tip-1, tip+1)
		return w.runs("ailee_resync_blocks --db-path /var/lib/ailee/reorg_db --bitcoin-rpc " + nodeURL)
	}},
	"ailee_reorg_show": {before: func(w *world) error { return w.unpack("node-rocksdb-6.11.4") }},
	"ailee_resync_blocks": {
		before: func(w *world) error { return w.runs("ailee_init_reorg_db --path /var/lib/ailee/reorg_db") },
		change: map[int]func(*world) error{1: func(w *world) error {
			w.chain.Reorganise(tip-1, tip+1)
			return nil
		}},
	},
	"ailee-backup": {before: anchoredNode},
	"ailee":        {before: backedUpNode},
	"ailee-doctor": {before: backedUpNode, change: map[int]func(*world) error{1: func(w *world) error {
		text, err := os.ReadFile(w.path(snapshotFile))
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(w.path(snapshotFile), append(text, "SNAPSHOT v1\nbal"...), 0o640),
			w.runs(fmt.Sprintf("touch -d @%d %s", w.now.Unix(), snapshotFile)))
	}}},
	"ailee-restore": {
		before: func(w *world) error {
			if err := anchoredNode(w); err != nil {
				return err
			}
			return w.runs("ailee-backup", "truncate -s 0 "+snapshotFile)
		},
	},
	"ailee-monitor": {before: func(w *world) error {
		if err := anchoredNode(w); err != nil {
			return err
		}
		if err := w.runs("ailee-backup"); err != nil {
			return err
		}
		return w.write(snapshotFile, torn)
	}, change: map[int]func(*world) error{1: func(w *world) error {
		return w.runs("ailee_prune_snapshots --in-place --keep all --file " + snapshotFile)
	}}},
}

// backedUpNode makes the data of a healthy node with backups.
func backedUpNode(w *world) error {
	if err := anchoredNode(w); err != nil {
		return err
	}
	return w.runs("ailee-backup", fmt.Sprintf("touch -d @%d %s", w.now.Unix(), snapshotFile))
}

// unpack makes a database that a node wrote the database of the examples.
func (w *world) unpack(name string) error {
	if err := golden.Unpack(name, w.path("/var/lib/ailee")); err != nil {
		return err
	}
	return os.Rename(w.path("/var/lib/ailee/"+name), w.path(database))
}

// anchoredNode makes the data of a node whose latest snapshot is anchored in Bitcoin,
// with the blocks of the last days.
func anchoredNode(w *world) error {
	if err := w.write(snapshotFile, healthy); err != nil {
		return err
	}
	return w.runs("ailee_init_node --data-dir /var/lib/ailee --if-missing",
		"ailee_resync_blocks --start-height 847000 --db-path /var/lib/ailee/reorg_db --bitcoin-rpc "+nodeURL,
		"ailee_create_anchor --broadcast --yes --fee-rate 12 --l2-state-file "+snapshotFile+" --bitcoin-rpc "+nodeURL)
}
