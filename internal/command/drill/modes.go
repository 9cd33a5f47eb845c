package drill

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// shortWatch shortens how long ailee_prune_snapshots watches for late writers: no other process
// has this file.
const shortWatch = "--watch=1ms"

// crash cuts appends to the snapshot file off, as if the writer had been killed there, and kills
// writers of the database at various moments.
func (d *drill) crash() {
	// Offsets from the beginning of a snapshot, or from its end if negative.
	cuts := []int64{1, 5, 13, 200, 400, -200, -13, -1}
	d.build(len(cuts))
	file := d.snapshotFile()
	whole := d.read(file) // content of the file without the torn part
	for i, cut := range cuts {
		text := d.read(d.sample(i + 1))
		if d.err != nil {
			return
		}
		size := int64(len(text))
		if cut < 0 {
			cut += size
		}
		d.step(fmt.Sprintf("an append is cut off at byte %d of %d", cut, size), appendTo(file, text[:cut]))
		d.step("the snapshot that a node loads verifies, with a warning", d.warns(file))
		d.step("repair the file", d.exits(exit.OK, pruneSnapshots, "--quiet", "--in-place", shortWatch, "--keep", "all", "--file", file))
		mended := whole
		whole = append(bytes.Clone(whole), text...)
		// A snapshot without its last newline is complete nevertheless.
		complete := cut == size-1
		if complete {
			mended = whole
		}
		d.step("every complete snapshot is there, and nothing else", equals(file, mended))
		if !complete {
			d.step("the node appends again", appendTo(file, text))
		}
		d.step(fmt.Sprintf("all %d snapshots verify", i+2), d.holds(i+2))
	}
	d.startChain()
	for _, ms := range []time.Duration{0, 5, 10, 20, 40} {
		after := ms * time.Millisecond
		d.step(fmt.Sprintf("kill a writer of the database after %s", after), d.killed(after, resyncBlocks, d.asked("--quiet")...))
	}
	d.fill()
	copied := d.path(copyPart)
	again := []string{"--quiet", "--path", copied, "--copy-from", d.db}
	d.step("kill a run that copies the database", d.killed(10*time.Millisecond, initReorgDB, again...))
	d.step("copy it again", func() error {
		// Unless the run ended before it was killed.
		if _, err := os.Lstat(copied); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return d.exits(exit.OK, initReorgDB, again...)()
	})
	d.db = copied
	d.step("the copy has every block", d.databaseHolds(d.tip, 0))
}

// read returns the content of a file, if no step has failed so far.
func (d *drill) read(file string) []byte {
	if d.err != nil {
		return nil
	}
	text, err := os.ReadFile(file)
	d.err = own(err)
	return text
}

// latest is what ailee_l2_verify says about the latest snapshot.
type latest struct {
	Snapshot struct {
		Passed   bool
		Verdict  snapshot.Verdict
		Findings []struct{ Kind snapshot.Kind }
	}
}

// warns is a step in which the latest snapshot verifies and a torn tail after it is reported.
func (d *drill) warns(file string) func() error {
	return reports(&d.toolbox, exit.OK, func(l latest) error {
		for _, f := range l.Snapshot.Findings {
			if l.Snapshot.Passed && (f.Kind == snapshot.TornTail || f.Kind == snapshot.MissingNewline) {
				return nil
			}
		}
		return errors.New("nothing about the torn tail")
	}, l2Verify, "--snapshot", file)
}

// reorg replaces blocks while the node is down.
func (d *drill) reorg() {
	d.build(1)
	d.startChain()
	d.fill()
	d.step("it agrees with the chain", d.compares(d.tip+1, 0))
	d.reorganise()
	d.step("the reorg is detected", d.compares(d.tip-d.o.ReorgDepth, d.o.ReorgDepth))
	d.step("the check wrote nothing", d.databaseHolds(d.tip-1, 0))
	d.step("start a resync and kill it", d.killed(10*time.Millisecond, resyncBlocks, d.asked("--quiet")...))
	d.step("resync again", d.resync())
	d.step("the database agrees with the chain", d.compares(d.tip+1, 0))
	d.allEvents("it has")
}

// allEvents is a step in which the database has all blocks and reorg events.
func (d *drill) allEvents(it string) {
	d.step(fmt.Sprintf("%s every block and %d reorg events", it, d.o.ReorgDepth), d.databaseHolds(d.tip, d.o.ReorgDepth))
}

// corruption damages the snapshot file, the database or both.
func (d *drill) corruption() {
	d.build(4)
	if d.o.CorruptSnapshot {
		d.corruptSnapshot()
	}
	if d.o.CorruptDB {
		d.corruptDatabase()
	}
}

func (d *drill) corruptSnapshot() {
	file := d.snapshotFile()
	for k := 1; k <= 4; k++ {
		d.step(fmt.Sprintf("the node appends snapshot %d", k+1), appendTo(file, d.read(d.sample(k))))
	}
	d.step("all verify", d.holds(5))
	before := d.read(file)
	d.step("back up", d.exits(exit.OK, backup, "--quiet", "--snapshot-only", "--data-dir", d.node()))
	d.step("change a balance of the latest snapshot", func() error { return damageBalance(file) })
	d.step("it is detected", reports(&d.toolbox, exit.Wrong, func(l latest) error {
		if l.Snapshot.Verdict != snapshot.RootMismatch {
			return fmt.Errorf("%q, not %q", l.Snapshot.Verdict, snapshot.RootMismatch)
		}
		return nil
	}, l2Verify, "--snapshot", file))
	d.notBackedUp("--snapshot-only")
	d.step("the newest valid snapshot is the one before", reports(&d.toolbox, exit.Wrong, func(all allSnapshots) error {
		if all.NewestValid != 4 || all.Count != 5 {
			return fmt.Errorf("that it is %d of %d, not 4 of 5", all.NewestValid, all.Count)
		}
		return nil
	}, l2Verify, "--all", "--snapshot", file))
	extracted := d.path(extractedPart)
	d.step("extract it", d.exits(exit.OK, extractSnapshots, "--quiet", "--newest-valid", file, extracted))
	d.step("it is the one that was written", equals(filepath.Join(extracted, "snapshot_4.dat"), d.read(d.sample(3))))
	d.step("put it in place", func() error { return putInPlace(file, filepath.Join(extracted, "snapshot_4.dat")) })
	d.step("it verifies", d.holds(1))
	d.step("empty the snapshot file", func() error { return own(os.Truncate(file, 0)) })
	d.step("it is detected", reports(&d.toolbox, exit.Failed, func(struct{}) error { return nil }, l2Verify, "--snapshot", file))
	d.step("restore the backup", d.exits(exit.OK, restore, "--quiet", "--snapshot-only", "--data-dir", d.node()))
	d.step("every snapshot is back", equals(file, before))
	d.step("all verify", d.holds(5))
}

// notBackedUp is a step in which damaged data is not backed up, and the existing backups stay.
func (d *drill) notBackedUp(part string) {
	d.step("it is not backed up", func() error {
		before, err := d.backups()
		if err != nil {
			return err
		}
		if err := d.exits(exit.Wrong, backup, "--quiet", part, "--data-dir", d.node())(); err != nil {
			return err
		}
		after, err := d.backups()
		if err == nil && (len(before) == 0 || !slices.Equal(before, after)) {
			err = fmt.Errorf("the backups were %q and are %q", before, after)
		}
		return err
	})
}

// backups returns the names of the backups, sorted.
func (d *drill) backups() (names []string, err error) {
	entries, err := os.ReadDir(d.node("backups"))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "l2_snapshots_") || strings.HasPrefix(entry.Name(), "reorg_db_") {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// damageBalance changes one digit of a balance in the latest snapshot.
func damageBalance(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	balance := []byte(`balance "peer-8" `)
	at := bytes.LastIndex(text, balance)
	if at < 0 {
		return fmt.Errorf("no balance of peer-8 in %s", file)
	}
	return writeAt(file, int64(at+len(balance)), []byte("9"))
}

// writeAt overwrites bytes in a file.
func writeAt(file string, at int64, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, at)
	return own(errors.Join(err, f.Close()))
}

// putInPlace replaces a file as operators should: it writes a new file next to it, then renames
// that.
func putInPlace(file, source string) error {
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return own(err)
	}
	return own(os.Rename(file+".new", file))
}

func (d *drill) corruptDatabase() {
	d.startChain()
	d.fill()
	// Reorg events are in no chain: once lost, they cannot be fetched again.
	d.reorganise()
	d.step("resync", d.resync())
	d.allEvents("it has")
	d.step("back up", d.exits(exit.OK, backup, "--quiet", "--db-only", "--data-dir", d.node()))
	d.step("overwrite the middle of its largest file", func() error { return scribble(d.db) })
	d.step("it is detected", d.exits(exit.Wrong, reorgVerify, "--quiet", "--db-path", d.db))
	d.notBackedUp("--db-only")
	d.step("copy what can be read of it", func() error {
		if err := os.Rename(d.db, d.db+".corrupted"); err != nil {
			return own(err)
		}
		return d.exits(exit.Wrong, initReorgDB, "--quiet", "--path", d.db, "--copy-from", d.db+".corrupted")()
	})
	d.step("fetch the missing blocks", d.resync("--start-height", "0"))
	d.allEvents("it has")
	d.step("restore the backup of a database that does not open", func() error {
		if err := os.Remove(filepath.Join(d.db, "CURRENT")); err != nil {
			return own(err)
		}
		return d.exits(exit.OK, restore, "--quiet", "--db-only", "--data-dir", d.node())()
	})
	d.allEvents("it has")
}

// scribble overwrites the middle of the database's largest table or log.
func scribble(db string) error {
	entries, err := os.ReadDir(db)
	if err != nil {
		return err
	}
	var largest fs.FileInfo
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); ext != ".sst" && ext != ".log" {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return own(err)
		}
		if largest == nil || info.Size() > largest.Size() {
			largest = info
		}
	}
	if largest == nil {
		return fmt.Errorf("%s has neither tables nor logs", db)
	}
	return writeAt(filepath.Join(db, largest.Name()), largest.Size()/2, bytes.Repeat([]byte("x"), 64))
}
