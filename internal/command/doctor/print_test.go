package doctor

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/datadir"
)

// printed returns what an operator sees.
func printed(v *datadir.View, s Setting) string {
	var b bytes.Buffer
	out := &cli.IO{Streams: cli.Streams{Out: &b, Err: &b}}
	d := &diagnosis{Options: Options{DataDir: s.DataDir}, view: v, plan: MakePlan(v, s)}
	d.print(out)
	return b.String()
}

// TestPrinted checks the exact output, and that no line is wider than a terminal.
func TestPrinted(t *testing.T) {
	for name, c := range map[string]struct {
		change change
		only   string // the expected output starts at this line; "" for the first
		until  string // it ends before this line; "" for the last
		want   string
		code   int
	}{
		"healthy": {change: func(*datadir.View) {}, want: `/var/lib/ailee at 2026-03-18 10:20:41 UTC

ok     node           running: ailee-node.service, pid 1234
ok     snapshot file  1203 snapshots, all valid, latest 2026-03-18 10:02:11
ok     database       sound: 1951 blocks to 847691, 14 anchors, 3 events
ok     agreement      all 14 anchors of the snapshot file are recorded
ok     backups        31 and 31, newest 3 min old, sound, lacks nothing
-      Bitcoin        not asked (--bitcoin-rpc URL)
ok     machine        12.4 GiB free, 2.9 GiB needed

Healthy. Nothing to do.
`},
		"torn tail while a node is running": {change: tornTail, code: 2, want: `/var/lib/ailee at 2026-03-18 10:20:41 UTC

ok     node           running: ailee-node.service, pid 1234
WRONG  snapshot file  1203 snapshots, all valid, latest 2026-03-18 10:02:11
WRONG    torn tail    400 bytes from byte 2904443, not growing
ok     database       sound: 1951 blocks to 847691, 14 anchors, 3 events
ok     agreement      all 14 anchors of the snapshot file are recorded
ok     backups        31 and 31, newest 3 min old, sound, lacks nothing
-      Bitcoin        not asked (--bitcoin-rpc URL)
ok     machine        12.4 GiB free, 2.9 GiB needed

What to do: 3 steps. The node may keep running. Nothing is lost.

1. Remove the torn tail: the next snapshot would be damaged by it.

    ailee_prune_snapshots --in-place --keep all \
        --file /var/lib/ailee/l2_snapshots.dat

2. Back up.

    ailee-backup

3. Look again.

    ailee-doctor

The reasons, and how to do it by hand: man 7 ailee-recovery
`},
		"damaged database, rotten newest backup": {change: damaged.and(rotten).and(func(v *datadir.View) {
			share(v, datadir.AnchorThing, datadir.Group{Sources: []int{0, 1}, Count: 13}, datadir.Group{Sources: []int{0}, Count: 1, Last: ms("09:40:12")})
		}), code: 2, only: "WRONG  database", want: `WRONG  database       damaged: 1 of 3 tables
WRONG    damage       000004.sst at byte 19547, 980 bytes: 51 records lost
ok     agreement      all 14 anchors of the snapshot file are recorded
WRONG  backups        31 and 31, newest sound one of the database 1 h old
WRONG    newest       reorg_db_20260318_101702.tar.gz: ends after 8192 bytes
-      Bitcoin        not asked (--bitcoin-rpc URL)
ok     machine        12.4 GiB free, 2.9 GiB needed

What to do: 8 steps. Stop the node. Loses nothing but 2 block hashes, which
Bitcoin has.

1. Stop the node: the database is going to be replaced.

    systemctl stop ailee-node

2. Make a folder for what is recovered.

    mkdir -m 750 /var/lib/ailee/recovery_20260318_102041

3. Take what can be read of the database, and what it lacks from the newest
   sound backup. Exit status 2 is expected: 2 blocks are in neither.

    ailee_init_reorg_db \
        --path /var/lib/ailee/recovery_20260318_102041/reorg_db \
        --copy-from /var/lib/ailee/reorg_db \
        --copy-from /var/lib/ailee/backups/reorg_db_20260318_091704.tar.gz

4. Put it in place. The damaged one is kept beside it.

    ailee-restore \
        --db-backup /var/lib/ailee/recovery_20260318_102041/reorg_db

5. Fetch the missing block hashes, and what became of the anchors.

    ailee_resync_blocks --anchors --db-path /var/lib/ailee/reorg_db \
        --bitcoin-rpc http://localhost:8332

6. Start the node.

    systemctl start ailee-node

7. Back up.

    ailee-backup

8. Look again.

    ailee-doctor

Instead: ailee-restore --db-only --force. Loses 1 anchor of 09:40:12 UTC.

The reasons, and how to do it by hand: man 7 ailee-recovery
`},
		"a tail with invalid snapshots": {change: tornTail.and(func(v *datadir.View) { v.Hidden.Invalid = 1 }), code: 2, only: "2. Keep", until: "4. Back",
			want: `2. Keep a copy of the file: the next step drops complete snapshots from it.

    cp -a --reflink=auto /var/lib/ailee/l2_snapshots.dat \
        /var/lib/ailee/recovery_20260318_102041

3. Remove the torn tail: the next snapshot would be damaged by it. Loses 1
   snapshot that is not valid, and that no node sees.

    ailee_prune_snapshots --in-place --discard-hidden --keep all \
        --file /var/lib/ailee/l2_snapshots.dat

`},
		"could not look": {change: syncing, code: 1, only: "?      Bitcoin", want: `?      Bitcoin        http://localhost:8332 is still syncing: block 512004
                      of 847702
ok     machine        12.4 GiB free, 2.9 GiB needed

Could not look at everything. Nothing that was looked at is wrong.
Look again when Bitcoin has caught up:

    ailee-doctor --bitcoin-rpc http://localhost:8332

The reasons, and how to do it by hand: man 7 ailee-recovery
`},
	} {
		t.Run(name, func(t *testing.T) {
			v, s := healthy(), setting()
			c.change(v)
			if v.BitcoinState != nil {
				s.URL = v.BitcoinState.URL
			}
			text := printed(v, s)
			shown := text[strings.Index(text, c.only):]
			if c.until != "" {
				shown = shown[:strings.Index(shown, c.until)]
			}
			require.Equal(t, c.want, shown)
			require.Equal(t, c.code, v.ExitCode())
			for line := range strings.Lines(text) {
				require.LessOrEqual(t, len(line), columns+1, line)
			}
		})
	}
}

// TestPieces: a flag stays on one line with its value, and with nothing else.
func TestPieces(t *testing.T) {
	for command, want := range map[string][]string{
		"ailee_prune_snapshots --in-place --discard-hidden FILE": {"ailee_prune_snapshots", "--in-place", "--discard-hidden", "FILE"},
		"ailee_prune_snapshots --keep all --file FILE":           {"ailee_prune_snapshots", "--keep all", "--file FILE"},
		"ailee-restore --force --db-only --snapshot-backup FILE": {"ailee-restore", "--force", "--db-only", "--snapshot-backup FILE"},
		"cp -a --reflink=auto FILE FOLDER":                       {"cp", "-a", "--reflink=auto", "FILE", "FOLDER"},
	} {
		require.Equal(t, want, pieces(strings.Fields(command)))
	}
}
