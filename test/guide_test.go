package test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
)

// play is one time that an operator follows the guide or the runbook.
type play struct {
	on      string // what was done to the data directory, see spoilers
	scripts string // of guide/, one after another; runbook/ has the commands under a heading of the runbook
	codes   string // the exit codes other than 0
	says    string // parts of what the operator sees, one per line, in this order; "ailee: " if only where that is a separate user
	end     string // the final contents of the data directory, and whether the node runs; "" if it is too large to read
}

// Frequent final contents.
const (
	snapshots    = "l2_snapshots.dat: 1-10, verify 0"
	tornFile     = "l2_snapshots.dat: 1-10, 300 bytes, verify 0"
	corruptFile  = "l2_snapshots.dat: 1-9, another snapshot, verify 2"
	anchored11   = "l2_snapshots.dat: 1-11, verify 0"
	restored     = "l2_snapshots.dat: 1-9, verify 0"
	wholeRecords = "31 blocks, 4 anchors, 1 events"
	tornRecords  = "30 blocks, 4 anchors, 1 events"
	backups      = "backups: 2 of 1-9, 1 of the database"
	fresh        = "l2_snapshots.dat: another snapshot, another snapshot, verify 0"
	nothing      = "reorg_db: 0 blocks, 0 anchors, 0 events"
	runs         = "the node runs"
	down         = "the node is down"
)

// Frequent messages.
const (
	verifies = "Verification OK."
	fails    = "Anchor verification failed: Anchor state root mismatch. expected="
	tornTail = "warning: torn tail: the last 300 bytes, starting at byte 13013, are an unfinished snapshot\n" +
		"hint: a node that appends to this would damage its next snapshot: remove what is unfinished: ailee_prune_snapshots --in-place --keep all"
	noStart = "Job for ailee-node.service failed"
)

func ends(parts ...string) string { return strings.Join(parts, "; ") }

func lines(parts ...string) string { return strings.Join(parts, "\n") }

var plays = []play{
	// Procedure 1: the latest snapshot that is sound is what the node starts with.
	{on: "healthy anchoring", scripts: "start-node restore-from-latest-snapshot", says: lines(verifies, "The node has started"),
		end: ends(backups, anchored11, "reorg_db: "+wholeRecords, runs)},
	{on: "torn", scripts: "restore-from-latest-snapshot", says: lines(verifies, tornTail, "The node has started"),
		end: ends(backups, tornFile, "reorg_db: "+tornRecords, runs)},
	{on: "corrupt", scripts: "restore-from-latest-snapshot", codes: "2 1", says: lines(fails, "<exit code 2>", noStart, "Database corrupted:"),
		end: ends(backups, restored, "reorg_db: does not open", down)},
	{on: "corrupt", scripts: "restore-from-latest-snapshot rebuild-reorg-database", codes: "2 1", says: lines(fails, noStart, "134 written", "ailee-node is active"),
		end: ends(backups, restored, "reorg_db: 134 blocks, 0 anchors, 0 events", "reorg_db.corrupted: does not open", runs)},
	// A file that cp creates does not belong to the node.
	{on: "emptied", scripts: "restore-from-latest-snapshot node-wont-start rebuild-reorg-database", codes: "1 1 1",
		says: lines("Failed to load snapshot: Failed to open snapshot file: /var/lib/ailee/l2_snapshots.dat", noStart, "ailee: permission denied",
			"ailee: root root", verifies, "134 written", "ailee-node is active"),
		end: ends(backups, restored, "reorg_db: 134 blocks, 0 anchors, 0 events", runs)},
	// Following the guide to the letter: the tool warns, and the node's next snapshot is damaged.
	{on: "torn anchoring", scripts: "restore-from-latest-snapshot stop-node validate-snapshot", codes: "2", says: lines(tornTail, fails, "<exit code 2>"),
		end: ends(backups, "l2_snapshots.dat: 1-10, another snapshot, verify 2", "reorg_db: "+tornRecords, down)},
	{on: "torn anchoring", scripts: "runbook/the-snapshot-file-has-a-torn-tail start-node stop-node validate-snapshot", says: lines("Dropped 0 snapshot(s), 300 bytes", verifies),
		end: ends(backups, "l2_snapshots.dat: 1-11, verify 0", "reorg_db: "+tornRecords, down)},
	{on: "healthy", scripts: "start-node runbook/the-snapshot-file-has-a-torn-tail", says: "Dropped 0 snapshot(s), 0 bytes",
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, runs)},
	{on: "corrupt", scripts: "runbook/the-snapshot-file-is-missing-or-empty runbook/the-reorg-database-is-damaged", codes: "1 2",
		says: lines("Would restore l2_snapshots.dat from l2_snapshots_20250215_000000.dat.bak", "Restored l2_snapshots.dat from l2_snapshots_20250215_000000.dat.bak", noStart, "Anchors: 4", "ailee-node is active"),
		end: ends(backups, restored, "l2_snapshots.dat.replaced_TIME: 1-9, another snapshot, verify 2",
			"reorg_db: 204 blocks, 4 anchors, 1 events", "reorg_db.replaced_TIME: does not open", runs)},

	// Procedure 2: the node starts with the latest snapshot that is valid, and nothing
	// else is left in the file.
	{on: "healthy", scripts: "restore-from-earlier-snapshot", says: lines("snapshot_1.dat to snapshot_10.dat", "Verifying /tmp/snapshots/snapshot_1.dat...", verifies,
		"Verifying /tmp/snapshots/snapshot_10.dat...", verifies, "Verifying /tmp/snapshots/snapshot_2.dat...", verifies, "Verifying /tmp/snapshots/snapshot_9.dat...", verifies),
		end: ends(backups, "l2_snapshots.dat: 10, verify 0", "reorg_db: "+wholeRecords, runs)},
	{on: "torn", scripts: "restore-from-earlier-snapshot", says: lines("snapshot_1.dat to snapshot_10.dat", "the last 300 bytes", "Verifying /tmp/snapshots/snapshot_10.dat...", verifies),
		end: ends(backups, "l2_snapshots.dat: 10, verify 0", "reorg_db: "+tornRecords, runs)},
	{on: "corrupt", scripts: "restore-from-earlier-snapshot", codes: "2 1", says: lines("Verifying /tmp/snapshots/snapshot_10.dat...", fails, "<exit code 2>",
		"Verifying /tmp/snapshots/snapshot_2.dat...", verifies, "Verifying /tmp/snapshots/snapshot_9.dat...", verifies, noStart),
		end: ends(backups, "l2_snapshots.dat: 9, verify 0", "reorg_db: does not open", down)},
	{on: "emptied", scripts: "restore-from-earlier-snapshot", codes: "1 2 1 1 1", says: lines("ailee_extract_snapshots: error: open /var/lib/ailee/l2_snapshots.dat: no such file", noStart),
		end: ends(backups, down)},
	{on: "healthy anchoring", scripts: "start-node runbook/the-latest-snapshot-is-wrong", says: lines("Recovered 11 snapshot(s)", "l2_snapshots.dat is sound and lacks nothing, left alone"),
		end: ends(backups, anchored11, "reorg_db: "+wholeRecords, runs)},
	{on: "corrupt", scripts: "runbook/the-latest-snapshot-is-wrong runbook/the-reorg-database-is-damaged", codes: "2 1 2",
		says: lines("Recovered 9 snapshot(s)", "state root mismatch", noStart, "Anchors: 4", "ailee-node is active"),
		end: ends(backups, restored, "l2_snapshots.dat.replaced_TIME: 1-9, another snapshot, verify 2",
			"reorg_db: 204 blocks, 4 anchors, 1 events", "reorg_db.replaced_TIME: does not open", runs)},

	// Procedure 3: the database has the block hashes. Following the guide to the letter, the
	// anchors are lost, and the tool warns.
	{on: "healthy anchoring", scripts: "start-node rebuild-reorg-database", says: lines("Made an empty reorg database in /var/lib/ailee/reorg_db",
		"warning: /var/lib/ailee/reorg_db.corrupted is also a reorg database: its anchors and reorg events are not in the new one",
		"--copy-from /var/lib/ailee/reorg_db.corrupted", "Heights 839990 to 840123 of main: 134 written, 0 equal, 0 replaced"),
		end: ends(backups, anchored11, "reorg_db: 134 blocks, 0 anchors, 0 events", "reorg_db.corrupted: "+wholeRecords, runs)},
	{on: "torn", scripts: "rebuild-reorg-database", says: lines("its anchors and reorg events are not in the new one", "134 written"),
		end: ends(backups, tornFile, "reorg_db: 134 blocks, 0 anchors, 0 events", "reorg_db.corrupted: "+tornRecords, runs)},
	{on: "corrupt", scripts: "rebuild-reorg-database", codes: "1", says: lines("its anchors and reorg events are not in the new one", "134 written", noStart),
		end: ends(backups, corruptFile, "reorg_db: 134 blocks, 0 anchors, 0 events", "reorg_db.corrupted: does not open", down)},
	{on: "emptied", scripts: "rebuild-reorg-database", codes: "1 1", says: lines("mv: cannot stat", "Made an empty reorg database", "134 written", noStart),
		end: ends(backups, "reorg_db: 134 blocks, 0 anchors, 0 events", down)},
	{on: "healthy anchoring", scripts: "start-node runbook/the-reorg-database-is-damaged", says: lines("Blocks: 31", "Anchors: 4", "Reorg events: 1", "173 written, 31 equal, 0 replaced"),
		end: ends(backups, anchored11, "reorg_db: 204 blocks, 4 anchors, 1 events", runs)},
	{on: "torn", scripts: "runbook/the-reorg-database-is-damaged", codes: "2", says: lines("Blocks: 31", "Anchors: 4", "/backups/reorg_db_20250215_000000.tar.gz: 1 block", "torn log tail", "173 written, 31 equal, 0 replaced"),
		end: ends(backups, tornFile, "reorg_db: 204 blocks, 4 anchors, 1 events", "reorg_db.replaced_TIME: "+tornRecords, runs)},

	{on: "healthy", scripts: "runbook/the-heights-are-a-count", says: lines("No stored height is a block count: nothing to move", "173 written, 31 equal, 0 replaced", "ailee-node is active"),
		end: ends(backups, snapshots, "reorg_db: 204 blocks, 4 anchors, 1 events", runs)},

	// Procedure 4: a node that starts from nothing, and its state anchored again.
	{on: "healthy anchoring", scripts: "start-node complete-reset validate-snapshot", says: lines("Kept backups", "Made l2_snapshots.dat, reorg_db in /var/lib/ailee", "to /var/lib/ailee/l2_snapshots.dat", verifies),
		end: ends(backups, fresh, "recovery_1739581200 ("+ends(anchored11, "reorg_db: "+wholeRecords)+")", nothing, runs)},
	{on: "torn", scripts: "complete-reset validate-snapshot", says: verifies,
		end: ends(backups, fresh, "recovery_1739581200 ("+ends(tornFile, "reorg_db: "+tornRecords)+")", nothing, runs)},
	{on: "corrupt", scripts: "complete-reset validate-snapshot", says: verifies,
		end: ends(backups, fresh, "recovery_1739581200 ("+ends(corruptFile, "reorg_db: does not open")+")", nothing, runs)},
	{on: "emptied", scripts: "complete-reset validate-snapshot", codes: "1", says: lines("cp: cannot stat", "<exit code 1>", verifies),
		end: ends(backups, fresh, "recovery_1739581200 ()", nothing, runs)},
	// Following the guide to the letter, nothing is kept if a second passes in between.
	{on: "healthy ticking", scripts: "complete-reset", codes: "1", says: lines("cp:", "<exit code 1>", "Made l2_snapshots.dat, reorg_db in /var/lib/ailee"),
		end: ends(backups, fresh, "recovery_1739581200 ()", nothing, runs)},
	{on: "healthy anchoring ticking", scripts: "start-node runbook/start-from-nothing", says: "Made l2_snapshots.dat, reorg_db in /var/lib/ailee",
		end: ends(backups, "l2_snapshots.dat: another snapshot, verify 0", "recovery_1739581200 ("+ends(anchored11, "reorg_db: "+wholeRecords)+")", nothing, runs)},

	// Data validation: the output is what the guide says to expect.
	{on: "healthy", scripts: "validate-snapshot", says: lines("Computed L2StateRoot: "+rootOf(10), "Anchor verified: "+anchorOf(10), verifies),
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "torn", scripts: "validate-snapshot", says: lines("Computed L2StateRoot: "+rootOf(10), "Anchor verified: "+anchorOf(10), verifies, tornTail),
		end: ends(backups, tornFile, "reorg_db: "+tornRecords, down)},
	{on: "corrupt", scripts: "validate-snapshot", codes: "2", says: lines("Computed L2StateRoot: ", fails, " anchor="+rootOf(10), "<exit code 2>"),
		end: ends(backups, corruptFile, "reorg_db: does not open", down)},
	{on: "emptied", scripts: "validate-snapshot", codes: "1", says: "Failed to load snapshot: Failed to open snapshot file: /var/lib/ailee/l2_snapshots.dat",
		end: ends(backups, down)},
	{on: "healthy", scripts: "cross-validate-with-bitcoin", says: lines("Snapshot is 123 blocks behind Bitcoin", "Warning: Large divergence detected"),
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "torn", scripts: "start-node cross-validate-with-bitcoin", says: lines("Snapshot is 123 blocks behind Bitcoin", "Warning: Large divergence detected"),
		end: ends(backups, tornFile, "reorg_db: "+tornRecords, runs)},
	// Following the guide to the letter, an unknown height counts as 0. The tool says so.
	{on: "corrupt", scripts: "cross-validate-with-bitcoin", codes: "1", says: lines("no source knows the block of the latest snapshot", "Snapshot is 840123 blocks behind Bitcoin"),
		end: ends(backups, corruptFile, "reorg_db: does not open", down)},
	{on: "emptied", scripts: "cross-validate-with-bitcoin", codes: "1", says: lines("ailee_get_snapshot_block: error: ", "Snapshot is 840123 blocks behind Bitcoin"),
		end: ends(backups, down)},
	{on: "healthy", scripts: "runbook/how-far-is-the-state-behind-bitcoin", codes: "2", says: lines("840000", "the snapshot is 123 blocks behind Bitcoin, at height 840000 of 840123"),
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "corrupt", scripts: "runbook/how-far-is-the-state-behind-bitcoin", codes: "1", says: "no source knows the block of the latest snapshot",
		end: ends(backups, corruptFile, "reorg_db: does not open", down)},

	{on: "healthy", scripts: "runbook/records-of-anchors-are-missing", says: lines("ANCHOR HASH", "CONFIRMED", "/var/lib/ailee/reorg_db", "Would copy 2 sources", "/backups/reorg_db_20250215_000000.tar.gz: nothing"),
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},

	// The node won't start.
	{on: "healthy", scripts: "node-wont-start", says: lines("/var/lib/ailee/l2_snapshots.dat", verifies), end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "torn", scripts: "node-wont-start", says: lines(verifies, tornTail), end: ends(backups, tornFile, "reorg_db: "+tornRecords, down)},
	{on: "corrupt one-backup", scripts: "node-wont-start", codes: "2", says: fails,
		end: ends("backups: 1 of 1-9, 1 of the database", restored, "reorg_db: does not open", down)},
	// Following the guide to the letter, cp works only with a single backup.
	{on: "corrupt", scripts: "node-wont-start", codes: "2 1", says: lines(fails, "cp: target '/var/lib/ailee/l2_snapshots.dat'"),
		end: ends(backups, corruptFile, "reorg_db: does not open", down)},
	{on: "emptied one-backup", scripts: "node-wont-start", codes: "2 1 1", says: "Failed to open snapshot file",
		end: ends("backups: 1 of 1-9, 1 of the database", restored, down)},
	{on: "corrupt", scripts: "runbook/both-are-lost", says: lines("Restored l2_snapshots.dat from ", "Restored reorg_db from "),
		end: ends(backups, restored, "l2_snapshots.dat.replaced_TIME: 1-9, another snapshot, verify 2", "reorg_db: 204 blocks, 4 anchors, 1 events",
			"reorg_db.replaced_TIME: does not open", runs)},
	{on: "healthy anchoring", scripts: "start-node runbook/both-are-lost", says: lines("l2_snapshots.dat is sound and newer than the newest backup:", "left alone"),
		end: ends(backups, anchored11, "reorg_db: 204 blocks, 4 anchors, 1 events", runs)},
	{on: "emptied", scripts: "runbook/both-are-lost", says: lines("Restored l2_snapshots.dat from ", "Restored reorg_db from "),
		end: ends(backups, restored, "reorg_db: 204 blocks, 4 anchors, 1 events", runs)},

	{on: "healthy", scripts: "start-node runbook/ailee-restore-leaves-something-alone-or-refuses", says: lines("l2_snapshots.dat is sound and newer than the newest backup:",
		"reorg_db is sound and lacks nothing, left alone", "Would replace nothing."), end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},

	// The database is locked: by nobody, and by a node.
	{on: "healthy", scripts: "reorg-database-locked", codes: "1", end: ends(backups, snapshots, "reorg_db: "+wholeRecords, runs)},
	{on: "torn", scripts: "reorg-database-locked", codes: "1", end: ends(backups, tornFile, "reorg_db: "+tornRecords, runs)},
	{on: "corrupt", scripts: "reorg-database-locked", codes: "1 1", says: noStart, end: ends(backups, corruptFile, "reorg_db: does not open", down)},
	{on: "emptied", scripts: "reorg-database-locked", codes: "1 1 1", says: lines("rm: cannot remove", noStart), end: ends(backups, down)},
	{on: "healthy", scripts: "start-node reorg-database-locked", says: "ailee-node /var/lib/ailee", end: ends(backups, snapshots, "reorg_db: "+wholeRecords, runs)},
	{on: "healthy", scripts: "start-node runbook/the-reorg-database-is-locked", codes: "1", says: lines("ailee_init_reorg_db: error: /var/lib/ailee/reorg_db is in use by ailee-node (pid ",
		"hint: stop the node first: systemctl stop ailee-node; never delete the LOCK file, it is not the lock"),
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},

	// The snapshot file is too large.
	{on: "long", scripts: "start-node snapshot-file-too-large", says: lines("Kept 1000 snapshot(s)", verifies),
		end: ends(backups, "l2_snapshots.dat: 6-1005, verify 0", "l2_snapshots_old.dat: 1-1005, verify 0", "reorg_db: "+wholeRecords, runs)},
	{on: "torn", scripts: "snapshot-file-too-large", says: lines("Dropped 0 snapshot(s), 300 bytes", "has only 10 complete snapshot(s)", verifies),
		end: ends(backups, snapshots, "l2_snapshots_old.dat: 1-10, 300 bytes, verify 0", "reorg_db: "+tornRecords, runs)},
	{on: "corrupt", scripts: "snapshot-file-too-large", codes: "2", says: lines(fails, "<exit code 2>"),
		end: ends(backups, corruptFile, "l2_snapshots_pruned.dat: 1-9, another snapshot, verify 2", "reorg_db: does not open", down)},
	{on: "emptied", scripts: "snapshot-file-too-large", codes: "1 1", says: "ailee_prune_snapshots: error: ", end: ends(backups, down)},
	// Following the guide to the letter, what the node anchors before it stops is lost from the file.
	{on: "healthy anchoring", scripts: "start-node snapshot-file-too-large", says: verifies,
		end: ends(backups, snapshots, "l2_snapshots_old.dat: 1-11, verify 0", "reorg_db: "+wholeRecords, runs)},
	{on: "healthy anchoring", scripts: "start-node runbook/the-snapshot-file-has-grown-too-large stop-node", says: "Kept 10 snapshot(s)",
		end: ends("backups: 2 of 1-10, 1 of 1-9, 1 of the database", anchored11, "reorg_db: "+wholeRecords, down)},
	{on: "long", scripts: "start-node runbook/the-snapshot-file-has-grown-too-large", says: "Kept 1000 snapshot(s)",
		end: ends("backups: 2 of 1-1005, 1 of 1-9, 1 of the database", "l2_snapshots.dat: 6-1005, verify 0", "reorg_db: "+wholeRecords, runs)},

	// The state root does not match.
	{on: "healthy", scripts: "state-root-mismatch", says: "Found valid snapshot: /tmp/snapshots/snapshot_10.dat",
		end: ends(backups, "l2_snapshots.dat: 10, verify 0", "reorg_db: "+wholeRecords, runs)},
	{on: "torn", scripts: "state-root-mismatch", says: "Found valid snapshot: /tmp/snapshots/snapshot_10.dat",
		end: ends(backups, "l2_snapshots.dat: 10, verify 0", "reorg_db: "+tornRecords, runs)},
	{on: "corrupt", scripts: "state-root-mismatch rebuild-reorg-database", codes: "1", says: "Found valid snapshot: /tmp/snapshots/snapshot_9.dat",
		end: ends(backups, "l2_snapshots.dat: 9, verify 0", "reorg_db: 134 blocks, 0 anchors, 0 events", "reorg_db.corrupted: does not open", runs)},
	{on: "emptied", scripts: "state-root-mismatch", codes: "1 1", says: lines("ailee_extract_snapshots: error: ", noStart), end: ends(backups, down)},
	// Following the guide to the letter, the latest of more than ten is the tenth.
	{on: "long", scripts: "state-root-mismatch", says: "Found valid snapshot: /tmp/snapshots/snapshot_10.dat",
		end: ends(backups, "l2_snapshots.dat: 10, verify 0", "reorg_db: "+wholeRecords, runs)},
	{on: "long", scripts: "runbook/the-latest-snapshot-is-wrong", says: lines("Recovered 1005 snapshot(s)", "left alone"),
		end: ends(backups, "l2_snapshots.dat: 1-1005, verify 0", "reorg_db: "+wholeRecords, runs)},

	// Backups: the last 24. Following the guide to the letter, damaged files are backed up, too,
	// and in the end nothing else, the backup for Procedure 1 included.
	{on: "healthy hourly", scripts: "hourly-backup*26", end: ends("backups: 24 of 1-10, 24 of the database", snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "corrupt hourly", scripts: "hourly-backup*26 restore-from-latest-snapshot", codes: "2 1 1", says: lines(fails, "cp: cannot stat", noStart),
		end: ends("backups: 24 of 1-9, another snapshot, 24 of the database", corruptFile, "reorg_db: does not open", down)},
	{on: "torn hourly", scripts: "hourly-backup", end: ends("backups: 1 of 1-10, 300 bytes, 2 of 1-9, 2 of the database", tornFile, "reorg_db: "+tornRecords, down)},
	{on: "emptied hourly", scripts: "hourly-backup", codes: "1 2", end: ends("backups: 2 of 1-9, 2 of the database", down)},
	{on: "healthy hourly", scripts: "ailee-backup*2", end: ends("backups: 3 of 1-10, 1 of 1-9, 3 of the database", snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "corrupt hourly", scripts: "ailee-backup*2 restore-from-latest-snapshot", codes: "2 2 2 1", says: lines("it was not backed up, the earlier backups are kept", fails),
		end: ends(backups, restored, "reorg_db: does not open", down)},

	// Monitoring.
	{on: "healthy", scripts: "monitoring", end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "large", scripts: "monitoring", says: lines("Warning: Snapshot file is 5001MB - consider pruning", "Warning: Reorg DB is 1002MB - consider pruning")},
	{on: "emptied", scripts: "monitoring", codes: "1", says: "stat: cannot stat", end: ends(backups, down)},
	{on: "torn", scripts: "ailee-monitor", codes: "2", says: "ends in an unfinished snapshot", end: ends(".ailee-monitor", backups, tornFile, "reorg_db: "+tornRecords, down)},
	{on: "corrupt", scripts: "ailee-monitor", codes: "2", says: lines("l2_snapshots.dat does not verify: state root mismatch", "reorg_db does not verify: "),
		end: ends(".ailee-monitor", backups, corruptFile, "reorg_db: does not open", down)},

	// What is not in the guide.
	{on: "healthy", scripts: "start-node runbook/first-in-every-case", says: lines("10 snapshots, all valid", "Healthy. Nothing to do."), end: ends(backups, snapshots, "reorg_db: "+wholeRecords, runs)},
	{on: "corrupt", scripts: "runbook/first-in-every-case", codes: "2", says: lines("state root mismatch", "damaged", "What to do: "), end: ends(backups, corruptFile, "reorg_db: does not open", down)},
	{on: "torn", scripts: "runbook/the-node-cannot-read-its-files", says: lines("/var/lib/ailee/l2_snapshots.dat", verifies, tornTail), end: ends(backups, tornFile, "reorg_db: "+tornRecords, down)},
	{on: "hidden", scripts: "runbook/a-snapshot-is-hidden-behind-a-torn-line", codes: "2", says: lines("1 of them hidden from nodes", "Would recover 11 snapshot(s)"),
		end: ends(backups, "l2_snapshots.dat: 1-10, another snapshot, verify 2", "reorg_db: "+wholeRecords, down)},
	{on: "other", scripts: "runbook/two-nodes-disagree-about-the-state", codes: "2", says: "~ balance \"peer-0007", end: ends(backups, snapshots, "other.dat", "reorg_db: "+wholeRecords, down)},
	{on: "healthy", scripts: "runbook/every-snapshot-with-peg-outs-fails", says: verifies, end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "healthy", scripts: "start-node runbook/the-node-was-down-during-a-reorg", says: lines("31 equal, 0 different, 103 missing", "173 written, 31 equal, 0 replaced"),
		end: ends(backups, snapshots, "reorg_db: 204 blocks, 4 anchors, 1 events", runs)},
	// As far as this goes with a Bitcoin node that has no wallet.
	{on: "healthy", scripts: "runbook/the-latest-anchor-has-no-record", codes: "1", says: lines("hint: the node has no wallet", "cannot ask for confirmation before sending: there is no terminal"),
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
	{on: "healthy", scripts: "runbook/after-every-recovery", codes: "2", says: lines(verifies, "Confirmed: 3", verifies, "ailee-monitor: warning: the latest snapshot in /var/lib/ailee/l2_snapshots.dat is "),
		end: ends(".ailee-monitor", "backups: 2 of 1-10, 1 of 1-9, 2 of the database", snapshots, "reorg_db: "+wholeRecords, down)},

	{on: "healthy", scripts: "runbook/ailee-backup-says-that-something-is-lost", says: lines("HOLDS", "4 anchors, 1 event", "9 snapshots"), end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},

	// Testing recovery, on separate data.
	{on: "healthy", scripts: "test-recovery", says: lines("Drill passed: crash", "Drill passed: reorg", "Drill passed: corruption"),
		end: ends(backups, snapshots, "reorg_db: "+wholeRecords, down)},
}

// TestGuide plays the recovery guide.
func TestGuide(t *testing.T) {
	t.Parallel()
	clitest.SkipUnderRace(t)
	healthy := healthyNode(t)
	run := (*sandbox).inNamespaces
	if err := namespaces(newSandbox(t).dir).Run(); err != nil {
		t.Log("namespaces are not available here: the paths of the guide are rewritten")
		run = (*sandbox).rewritten
	}
	for _, p := range plays {
		t.Run(p.scripts+" on "+p.on, func(t *testing.T) {
			p.skipLong(t)
			t.Parallel()
			s := newGuideSandbox(t, healthy, p.on)
			p.check(t, s, run(s, t, p.env(), p.expanded()))
		})
	}
}

// TestGuideRewritten plays a part of the guide in the way that needs no namespaces.
func TestGuideRewritten(t *testing.T) {
	t.Parallel()
	clitest.SkipUnderRace(t)
	healthy := healthyNode(t)
	for _, scripts := range []string{
		"restore-from-latest-snapshot node-wont-start rebuild-reorg-database", "start-node complete-reset validate-snapshot",
		"complete-reset validate-snapshot", "cross-validate-with-bitcoin", "hourly-backup*26", "runbook/both-are-lost",
	} {
		played := slices.DeleteFunc(slices.Clone(plays), func(p play) bool { return p.scripts != scripts })
		require.NotEmpty(t, played, scripts)
		for _, p := range played {
			t.Run(p.scripts+" on "+p.on, func(t *testing.T) {
				p.skipLong(t)
				t.Parallel()
				s := newGuideSandbox(t, healthy, p.on)
				p.check(t, s, s.rewritten(t, p.env(), p.expanded()))
			})
		}
	}
}

// TestGuideIsPlayedWhole: each procedure, and each heading of the runbook, is played at least
// once.
func TestGuideIsPlayedWhole(t *testing.T) {
	there, played := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("guide/*.sh")
	require.NoError(t, err)
	for _, file := range files {
		there[strings.TrimSuffix(filepath.Base(file), ".sh")] = true
	}
	for script := range runbookScripts(t) {
		there[script] = true
	}
	for _, p := range plays {
		for _, script := range p.expanded() {
			played[script] = true
		}
	}
	require.Equal(t, there, played)
}

// skipLong skips a day of hourly runs, and the drills, which have their own tests.
func (p play) skipLong(t *testing.T) {
	if testing.Short() && (strings.Contains(p.scripts, "*26") || p.scripts == "test-recovery") {
		t.Skip("too long for short mode")
	}
}

// expanded returns the names of the scripts; NAME*N is N times NAME.
func (p play) expanded() (all []string) {
	for _, script := range strings.Fields(p.scripts) {
		name, times := script, 1
		_, _ = fmt.Sscanf(strings.ReplaceAll(script, "*", " "), "%s %d", &name, &times)
		for range times {
			all = append(all, name)
		}
	}
	return all
}

// env returns what the operator knows.
func (p play) env() []string {
	latest := guideSnapshots
	if strings.Contains(p.on, "corrupt") {
		latest--
	}
	return []string{fmt.Sprintf("LATEST_VALID=%d", latest), "LAST_KNOWN_HEIGHT=839990"}
}

var exitCode = regexp.MustCompile(`(?m)^<exit code ([0-9]+)>$`)

func (p play) check(t *testing.T, s *sandbox, seen string) {
	var codes []string
	for _, code := range exitCode.FindAllStringSubmatch(seen, -1) {
		codes = append(codes, code[1])
	}
	require.Equal(t, p.codes, strings.Join(codes, " "), "exit codes of\n%s", seen)
	rest := seen
	for line := range strings.SplitSeq(p.says, "\n") {
		line, ofAilee := strings.CutPrefix(line, "ailee: ")
		if ofAilee && !s.hasUsers {
			continue
		}
		_, later, found := strings.Cut(rest, line)
		require.True(t, found, "%q is missing or misplaced:\n%s", line, seen)
		rest = later
	}
	if p.end == "" {
		return
	}
	end := describe(t, s.dataDir()) + "; " + down
	if strings.HasSuffix(seen, "ailee-node is active\n") {
		end = describe(t, s.dataDir()) + "; " + runs
	}
	require.Equal(t, p.end, end, "after\n%s", seen)
}
