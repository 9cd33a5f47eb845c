package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// fault is something that goes wrong with a node.
type fault struct {
	name string
	// hits names the parts that it affects. Two faults that affect the same part are not combined.
	hits   string
	inject func(t *testing.T, p *patient, h *history)
	// code is the final exit status: not 0 if only something outside can repair the fault.
	code int
	// sound is set if nothing is wrong.
	sound bool
	// destroys is set if a part can only come back from a backup, withoutBackup if there is none.
	destroys, withoutBackup bool
	// asksBitcoin is set if the repair needs Bitcoin.
	asksBitcoin bool
	// unbacked is set if the newest backup of the database is gone or wrong: only a new backup
	// repairs that.
	unbacked bool
	// pruned is how many of the first snapshots were dropped on purpose.
	pruned int
	root   bool // needs root: it is about owners or attributes
}

// touch edits an existing file.
func touch(edit func(data []byte) []byte, path func(p *patient) string) func(*testing.T, *patient, *history) {
	return func(t *testing.T, p *patient, _ *history) {
		data, err := os.ReadFile(path(p))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path(p), edit(data), 0o640))
	}
}

func (p *patient) newest(t *testing.T, pattern string) string {
	found := p.backupsLike(t, pattern)
	return found[len(found)-1]
}

func (p *patient) oldest(t *testing.T, pattern string) string { return p.backupsLike(t, pattern)[0] }

func (p *patient) backupsLike(t *testing.T, pattern string) []string {
	found, err := filepath.Glob(filepath.Join(p.backups(), pattern))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

// tamper changes a balance after an offset.
func tamper(data []byte, from int) []byte {
	at := from + bytes.Index(data[from:], []byte(`balance "peer-0007`))
	data[at+bytes.IndexByte(data[at:], '\n')-1] ^= 1
	return data
}

// next returns the snapshot that the node would write next.
func (h *history) next() string {
	text, _ := h.snapshotAt(uint64(time.Now().UnixMilli()))
	return text
}

// invalid returns a next snapshot that is not valid.
func (h *history) invalid() string { return string(tamper([]byte(h.next()), 0)) }

// zeros is what a crash leaves.
var zeros = strings.Repeat("\x00", 50)

// appendDirty appends something to the snapshot file.
func appendDirty(text func(h *history) string) func(*testing.T, *patient, *history) {
	return func(t *testing.T, p *patient, h *history) { add(t, p.file(), text(h)) }
}

// pack replaces the file with a packed one.
func pack(command ...string) func(*testing.T, *patient, *history) {
	return func(t *testing.T, p *patient, _ *history) {
		cmd := exec.Command(command[0], command[1:]...)
		var err error
		cmd.Stdin, err = os.Open(p.file())
		require.NoError(t, err)
		out, err := cmd.Output()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(p.file(), out, 0o640))
	}
}

// inDatabase changes records of the database.
func inDatabase(change func(t *testing.T, u *reorgdb.Update, h *history)) func(*testing.T, *patient, *history) {
	return func(t *testing.T, p *patient, h *history) {
		db, err := reorgdb.Open(p.database())
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			change(t, u, h)
			return nil
		}))
		require.NoError(t, db.Sync())
		require.NoError(t, db.Close())
	}
}

// renew replaces the database with a new one.
func renew(t *testing.T, p *patient, blocks func(u *reorgdb.Update)) {
	require.NoError(t, os.RemoveAll(p.database()))
	db, err := reorgdb.Create(p.database())
	require.NoError(t, err)
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		blocks(u)
		return nil
	}))
	require.NoError(t, db.Close())
}

const (
	onFile     = "file"
	onDatabase = "database"
	onBackups  = "backups"
	onBitcoin  = "bitcoin"
	onNode     = "node"
	onDisk     = "disk"
	onPrune    = "prune"
	onTail     = "tail"
	onFlags    = "attributes"
	onRestore  = onFile + " " + onDatabase + " " + onPrune

	notMounted = "backups not mounted"
	newer      = "database too new"
)

var faults = []fault{
	{name: "nothing", inject: func(*testing.T, *patient, *history) {}, sound: true},
	{name: "torn tail", hits: onTail, inject: appendDirty(func(h *history) string { return h.next()[:300] })},
	{name: "missing newline", hits: onTail, inject: touch(func(data []byte) []byte { return data[:len(data)-1] }, (*patient).file)},
	{name: "fused snapshot", hits: onTail, inject: appendDirty(func(h *history) string { return h.next()[:300] + h.next() })},
	{name: "zeros before a header", hits: onTail, inject: appendDirty(func(h *history) string { return zeros + h.next() })},
	{name: "zeros before an invalid snapshot", hits: onTail, inject: appendDirty(func(h *history) string { return zeros + h.invalid() })},
	{name: "tampered latest", hits: onFile, inject: touch(func(data []byte) []byte { return tamper(data, bytes.LastIndex(data, []byte("SNAPSHOT v1"))) }, (*patient).file)},
	{name: "all tampered", hits: onFile, destroys: true, inject: touch(func(data []byte) []byte {
		for at := 0; at >= 0 && at < len(data); {
			data = tamper(data, at)
			next := bytes.Index(data[at+1:], []byte("SNAPSHOT v1"))
			if next < 0 {
				break
			}
			at += 1 + next
		}
		return data
	}, (*patient).file)},
	{name: "file missing", hits: onFile, destroys: true, inject: func(t *testing.T, p *patient, _ *history) { require.NoError(t, os.Remove(p.file())) }},
	{name: "file empty", hits: onFile, destroys: true, inject: touch(func([]byte) []byte { return nil }, (*patient).file)},
	{name: "file of zeros", hits: onFile, destroys: true, inject: touch(func(data []byte) []byte { return make([]byte, len(data)) }, (*patient).file)},
	{name: "file replaced by gzip", hits: onFile, inject: pack("gzip", "-c")},
	{name: "file replaced by zstd", hits: onFile, inject: pack("zstd", "-c")},
	{name: "file cut", hits: onFile, inject: touch(func(data []byte) []byte { return data[bytes.LastIndex(data, []byte("SNAPSHOT v1")):] }, (*patient).file)},
	{name: "file cut and continued, the backups in zstd", hits: onFile + " " + onBackups, inject: func(t *testing.T, p *patient, h *history) {
		h.backUp(t, p.data(), "--compress", "zstd")
		touch(func(data []byte) []byte {
			return slices.Concat(data[bytes.LastIndex(data, []byte("SNAPSHOT v1")):], []byte(h.next()), []byte(h.invalid()))
		}, (*patient).file)(t, p, h)
	}},
	{name: "wrong owner", hits: "owner", root: true, inject: func(t *testing.T, p *patient, _ *history) { require.NoError(t, os.Lchown(p.file(), 0, 0)) }},
	{name: "wrong owner of the database", hits: "owner", root: true, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, exec.Command("chown", "-R", "0:0", p.database()).Run())
		require.NoError(t, exec.Command("chmod", "-R", "go=", p.database()).Run())
	}},
	{name: "immutable file", hits: onFlags, root: true, inject: attribute("+i", "l2_snapshots.dat")},
	{name: "immutable database", hits: onFlags, root: true, inject: attribute("-R +i", "reorg_db")},
	{name: "immutable folder", hits: onFlags, root: true, inject: attribute("+i", ".")},
	{name: "append-only file", hits: onFlags, root: true, sound: true, inject: attribute("+a", "l2_snapshots.dat")},
	{name: "append-only folder", hits: onFlags, root: true, sound: true, inject: attribute("+a", ".")},

	{name: "damaged table", hits: onDatabase, inject: touch(func(data []byte) []byte {
		data[len(data)/4] ^= 0x55
		return data
	}, func(p *patient) string { return firstIn(p.database(), "*.sst") })},
	{name: "damaged MANIFEST", hits: onDatabase, inject: touch(func(data []byte) []byte {
		data[len(data)/2] ^= 1
		return data
	}, func(p *patient) string { return firstIn(p.database(), "MANIFEST-*") })},
	{name: "no CURRENT", hits: onDatabase, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, os.Remove(filepath.Join(p.database(), "CURRENT")))
	}},
	{name: "log of zeros", hits: onDatabase, inject: touch(func(data []byte) []byte { return make([]byte, max(len(data), 4096)) },
		func(p *patient) string { return lastIn(p.database(), "*.log") })},
	{name: "database missing", hits: onDatabase, destroys: true, inject: func(t *testing.T, p *patient, _ *history) { require.NoError(t, os.RemoveAll(p.database())) }},
	{name: "database an empty folder", hits: onDatabase, destroys: true, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, os.RemoveAll(p.database()))
		require.NoError(t, os.Mkdir(p.database(), 0o750))
	}},
	{name: "database made from scratch", hits: onDatabase, inject: func(t *testing.T, p *patient, h *history) {
		renew(t, p, func(u *reorgdb.Update) {
			for height := h.tip - 20; height <= h.tip; height++ {
				u.SetBlock(reorgdb.Block{Height: uint64(height), Hash: p.chain.Hash(height)})
			}
		})
	}},
	{name: "database of another network", hits: onDatabase, asksBitcoin: true, inject: func(t *testing.T, p *patient, h *history) {
		renew(t, p, func(u *reorgdb.Update) {
			for height := h.tip - 20; height <= h.tip; height++ {
				u.SetBlock(reorgdb.Block{Height: uint64(height), Hash: fmt.Sprintf("%064x", height)})
			}
		})
	}},
	{name: "heights are a count", hits: onDatabase, asksBitcoin: true, inject: inDatabase(func(_ *testing.T, u *reorgdb.Update, h *history) {
		c := h.newChain()
		for i := range int64(12) {
			u.DeleteBlock(uint64(h.tip - 11 + i))
			u.SetBlock(reorgdb.Block{Height: uint64(1 + i), Hash: c.Hash(h.tip - 11 + i)})
		}
	})},
	{name: newer, hits: onDatabase, code: exit.Failed, inject: touch(func(data []byte) []byte {
		// A footer as RocksDB 9 writes it: the checksum type is followed by other fields, which
		// begin with a magic number, and the format version is 6.
		footer := data[len(data)-53:]
		copy(footer[1:], "\x3e\x00\x7a\x00")
		footer[41] = 6
		return data
	}, func(p *patient) string { return firstIn(p.database(), "*.sst") })},
	{name: "a gap in the heights", hits: onDatabase, asksBitcoin: true, inject: inDatabase(func(_ *testing.T, u *reorgdb.Update, h *history) {
		for height := h.tip - 250; height < h.tip-240; height++ {
			u.DeleteBlock(uint64(height))
		}
	})},
	{name: "counter too low", hits: onDatabase, inject: inDatabase(func(t *testing.T, u *reorgdb.Update, _ *history) {
		require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(reorgdb.CounterKey), []byte("1")))
	})},

	{name: "a backup has run since", hits: "timer", sound: true, inject: func(_ *testing.T, p *patient, _ *history) {
		p.timers = append(p.timers, "ailee-backup >/dev/null 2>&1 || true")
	}},

	{name: "LOCK held by the node", hits: onNode, sound: true, inject: func(_ *testing.T, p *patient, _ *history) {
		p.inside = append(p.inside, "systemctl start ailee-node")
	}},
	{name: "LOCK removed while the node is running", hits: onNode, inject: func(_ *testing.T, p *patient, _ *history) {
		p.inside = append(p.inside, "systemctl start ailee-node", "rm /var/lib/ailee/reorg_db/LOCK")
	}},
	{name: "the file held open by a process", hits: onNode, sound: true, inject: func(_ *testing.T, p *patient, _ *history) {
		p.inside = append(p.inside, "sleep 1000 3<>/var/lib/ailee/l2_snapshots.dat >/dev/null 2>&1 &")
	}},

	{name: "killed prune", hits: onPrune, pruned: 1, inject: func(t *testing.T, p *patient, h *history) { leavePrune(t, p, h.next()) }},
	{name: "killed prune, and the file replaced since", hits: onPrune + " " + onFile, inject: func(t *testing.T, p *patient, h *history) {
		leavePrune(t, p, h.next())
		replaceFile(t, p, h.snapshots[:3])
	}},
	{name: "killed prune, and the file replaced by one that has more", hits: onPrune + " " + onFile, inject: func(t *testing.T, p *patient, h *history) {
		next := h.next()
		leavePrune(t, p, next)
		replaceFile(t, p, append(slices.Clone(h.snapshots), next))
	}},
	{name: "killed prune, and an invalid snapshot after it", hits: onPrune + " " + onTail, pruned: 1, inject: func(t *testing.T, p *patient, h *history) {
		leavePrune(t, p, h.next())
		add(t, p.file(), zeros+h.invalid())
	}},
	{name: "killed prune that carries over an invalid snapshot", hits: onPrune, pruned: 1, inject: func(t *testing.T, p *patient, h *history) {
		leavePrune(t, p, h.next()+zeros+h.invalid())
	}},
	{name: "killed prune that carries over a hidden snapshot", hits: onPrune, pruned: 1, inject: func(t *testing.T, p *patient, h *history) {
		leavePrune(t, p, zeros+h.next())
	}},
	{name: "killed restore", hits: onRestore, inject: func(t *testing.T, p *patient, _ *history) { leaveRestore(t, p, 0) }},
	{name: "killed restore, the database exchanged", hits: onRestore, inject: func(t *testing.T, p *patient, _ *history) { leaveRestore(t, p, 1) }},
	{name: "killed restore, both exchanged", hits: onRestore, inject: func(t *testing.T, p *patient, _ *history) { leaveRestore(t, p, 2) }},
	{name: "a pruned file", hits: onFile, sound: true, pruned: hours - 2, inject: func(t *testing.T, p *patient, _ *history) {
		clitest.RunProcess(t, exit.OK, "ailee_prune_snapshots", "--in-place", "--keep", "2", "--accept-earlier-anchors", "--file", p.file())
	}},
	{name: "broadcast interrupted", hits: "broadcast", asksBitcoin: true, inject: leaveBroadcast(hours - 1)},
	{name: "broadcast of an older state interrupted", hits: "broadcast", asksBitcoin: true, inject: leaveBroadcast(hours - 3)},

	{name: "no backups", hits: onBackups, withoutBackup: true, unbacked: true, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, os.RemoveAll(p.backups()))
		require.NoError(t, os.Mkdir(p.backups(), 0o750))
	}},
	{name: "no folder of backups", hits: onBackups, withoutBackup: true, unbacked: true, inject: func(t *testing.T, p *patient, _ *history) { require.NoError(t, os.RemoveAll(p.backups())) }},
	{name: "newest backup of the database rotten", hits: onBackups, unbacked: true, inject: func(t *testing.T, p *patient, _ *history) {
		newest := p.newest(t, "reorg_db_*")
		require.NoError(t, os.Truncate(newest, clitest.FileSize(t, newest)*2/3))
	}},
	{name: "newest backup of the file rotten", hits: onBackups, inject: func(t *testing.T, p *patient, _ *history) {
		newest := p.newest(t, "l2_snapshots_2*")
		data, err := os.ReadFile(newest)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(newest, tamper(data, bytes.LastIndex(data, []byte("SNAPSHOT v1"))), 0o640))
	}},
	{name: "an older backup of the database gone", hits: onBackups, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, os.Remove(p.oldest(t, "reorg_db_*")))
	}},
	{name: "a backup of the database dated in the future", hits: onBackups, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, os.Rename(p.newest(t, "reorg_db_*"), filepath.Join(p.backups(), "reorg_db_20990101_000000.tar.gz")))
	}},
	{name: "a backup dated in the future", hits: onBackups, inject: func(t *testing.T, p *patient, _ *history) {
		newest := p.newest(t, "l2_snapshots_2*")
		require.NoError(t, os.Rename(newest, filepath.Join(p.backups(), "l2_snapshots_20990101_000000.dat.bak")))
	}},
	{name: notMounted, hits: onBackups, code: exit.Failed, withoutBackup: true, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, os.Rename(p.backups(), filepath.Join(p.dir, "unmounted")))
		require.NoError(t, os.Mkdir(p.backups(), 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(p.dir, "etc", "fstab"), []byte("/dev/vdb1 /var/lib/ailee/backups ext4 defaults 0 2\n"), 0o644))
	}},
	{name: "the file is also a backup", hits: onBackups + " " + onFile, inject: func(t *testing.T, p *patient, _ *history) {
		latest := filepath.Join(p.backups(), "l2_snapshots_latest.dat.bak")
		require.NoError(t, os.Remove(latest))
		require.NoError(t, os.Link(p.file(), latest))
	}},

	{name: "disk nearly full", hits: onDisk, inject: func(t *testing.T, p *patient, _ *history) {
		require.NoError(t, os.CopyFS(filepath.Join(p.data(), "reorg_db.replaced_20260101_000000"), os.DirFS(p.database())))
		big := filepath.Join(p.data(), "l2_snapshots.dat.replaced_20260101_000000")
		require.NoError(t, exec.Command("cp", p.file(), big).Run())
		require.NoError(t, exec.Command("bash", "-c", fmt.Sprintf("head -c 40000000 /dev/zero | tr '\\0' '\\n' >> %s", big)).Run())
		p.small = 64<<20 + 30_000_000
	}},
	{name: "reorg during downtime", hits: onBitcoin, inject: func(_ *testing.T, p *patient, h *history) { p.chain.Reorganise(h.tip-2, h.tip+1) }},
	{name: "blocks since", hits: onBitcoin, inject: func(_ *testing.T, p *patient, h *history) { p.chain.SetTip(h.tip + 5) }},
	{name: "Bitcoin unreachable", hits: onBitcoin, code: exit.Failed, inject: func(_ *testing.T, p *patient, _ *history) { p.url = "http://127.0.0.1:9" }},
	{name: "Bitcoin syncing", hits: onBitcoin, code: exit.Failed, inject: func(_ *testing.T, p *patient, _ *history) { p.chain.Syncing = true }},
	{name: "Bitcoin with an old tip", hits: onBitcoin, code: exit.Failed, inject: func(_ *testing.T, p *patient, h *history) { p.chain.SetTip(h.tip - 30) }},
}

func firstIn(dir, pattern string) string {
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	return found[0]
}

func lastIn(dir, pattern string) string {
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	return found[len(found)-1]
}

// leavePrune leaves what a prune that was killed after its exchange leaves, with text that was
// appended to the old file since.
func leavePrune(t *testing.T, p *patient, appended string) {
	text := clitest.Read(t, p.file())
	kept := text[strings.Index(text[1:], "SNAPSHOT v1\n")+1:]
	aside := p.file() + ".aside"
	require.NoError(t, os.Rename(p.file(), aside))
	require.NoError(t, os.WriteFile(p.file(), []byte(kept), 0o640))
	name := fmt.Sprintf(".l2_snapshots.dat.ailee-old-%d-%d-%d-%d-%s-%s", inodeOf(t, aside), len(text), inodeOf(t, p.file()), len(kept), digestOf(text), digestOf(kept))
	require.NoError(t, os.Rename(aside, filepath.Join(p.data(), name)))
	add(t, filepath.Join(p.data(), name), appended)
}

// replaceFile replaces the file with one that has the given snapshots.
func replaceFile(t *testing.T, p *patient, snapshots []string) {
	require.NoError(t, os.WriteFile(p.file()+".new", []byte(strings.Join(snapshots, "")), 0o640))
	require.NoError(t, os.Rename(p.file()+".new", p.file()))
}

// leaveRestore damages both parts and leaves what a restore of them leaves that was killed after
// it had exchanged the given number of them.
func leaveRestore(t *testing.T, p *patient, exchanged int) {
	type part struct{ kind, path, stage string }
	parts := []part{{kind: "database", path: p.database()}, {kind: "snapshots", path: p.file()}}
	var moves []map[string]string
	for i := range parts {
		part := &parts[i]
		part.stage = filepath.Join(p.data(), "."+filepath.Base(part.path)+".ailee-restore.tmp")
		require.NoError(t, exec.Command("cp", "-a", part.path, part.stage).Run())
		moves = append(moves, map[string]string{"part": part.kind, "name": filepath.Base(part.path), "from": "a backup",
			"stage_inode": fmt.Sprint(inodeOf(t, part.stage)), "live_inode": fmt.Sprint(inodeOf(t, part.path))})
	}
	require.NoError(t, os.Remove(filepath.Join(p.database(), "CURRENT")))
	text := []byte(clitest.Read(t, p.file()))
	require.NoError(t, os.WriteFile(p.file(), tamper(text, bytes.LastIndex(text, []byte("SNAPSHOT v1"))), 0o640))
	for _, part := range parts[:exchanged] {
		require.NoError(t, unix.Renameat2(unix.AT_FDCWD, part.stage, unix.AT_FDCWD, part.path, unix.RENAME_EXCHANGE))
	}
	journal, err := json.Marshal(map[string]any{"version": 1, "time": "20260101_000000", "parts": moves})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(p.data(), ".ailee-restore.json"), journal, 0o600))
}

// attribute sets attributes of a file in the data directory, on the patient's machine: a disk
// that is mounted there gets them only then.
func attribute(flags, name string) func(*testing.T, *patient, *history) {
	return func(t *testing.T, p *patient, _ *history) {
		probe := filepath.Join(p.dir, "probe")
		require.NoError(t, os.WriteFile(probe, nil, 0o600))
		if out, err := exec.Command("bash", "-c", `chattr +i "$1" && chattr -i "$1"`, "bash", probe).CombinedOutput(); err != nil {
			t.Skipf("the file system of %s has no attributes: %s", p.dir, out)
		}
		t.Cleanup(func() { _ = exec.Command("chattr", "-R", "-f", "-i", "-a", p.data()).Run() })
		p.inside = append(p.inside, fmt.Sprintf("chattr %s /var/lib/ailee/%s", flags, name))
	}
}

// compatible reports whether both faults can occur at once.
func compatible(a, b fault) bool {
	for part := range strings.FieldsSeq(a.hits) {
		if slices.Contains(strings.Fields(b.hits), part) {
			return false
		}
	}
	// A prune's leftovers, and a tail, need the file as it was. A node that cannot start holds no
	// lock. Without a backup, nothing says which network is the right one. A missing file has
	// neither an owner nor attributes, and the inodes that a killed run recorded are those of the
	// disk that it was on.
	needs := func(x, y fault) bool {
		return x.hits == onTail && (y.hits == onFile || strings.Contains(y.hits, onPrune)) && !strings.HasPrefix(y.name, "tampered") ||
			strings.HasPrefix(x.hits, onPrune) && y.hits == onFile ||
			x.hits == onNode && (strings.Contains(y.hits, onFile) || y.hits == onDatabase || y.hits == "owner" || y.hits == onDisk || y.hits == onPrune) ||
			x.hits == onNode && (y.name == "fused snapshot" || y.name == "zeros before a header") ||
			x.name == "database of another network" && y.withoutBackup && y.name != notMounted ||
			x.hits == "broadcast" && y.hits == onFile ||
			x.name == "disk nearly full" && (y.hits == onDatabase || strings.Contains(y.hits, onFile) || y.hits == onTail) ||
			x.name == "wrong owner" && y.name == "file missing" || x.name == "wrong owner of the database" && y.name == "database missing" ||
			x.hits == onFlags && (y.name == "file missing" || y.name == "database missing")
	}
	return a.name != b.name && !needs(a, b) && !needs(b, a)
}

// ward has what the patients of a test have in common.
type ward struct {
	healthy string
	history *history
}

func newWard(t *testing.T) *ward {
	t.Helper()
	clitest.SkipUnderRace(t)
	canFollow(t)
	w := &ward{healthy: filepath.Join(t.TempDir(), "ailee"), history: newHistory()}
	w.history.write(t, w.healthy)
	return w
}

// cure injects faults, follows the doctor, and checks that nothing is lost.
func (w *ward) cure(t *testing.T, all ...fault) {
	t.Helper()
	p := newPatient(t, w.healthy, w.history)
	code, sound, destroys, withoutBackup, asks, unbacked := exit.OK, true, false, false, false, false
	for _, f := range all {
		if f.root && os.Geteuid() != 0 {
			t.Skip("only root can do this")
		}
		if !f.root {
			f.inject(t, p, w.history)
		}
		code, sound = max(code, f.code), sound && f.sound
		destroys, withoutBackup, asks = destroys || f.destroys, withoutBackup || f.withoutBackup, asks || f.asksBitcoin
		unbacked = unbacked || f.unbacked
	}
	lost := destroys && withoutBackup
	if lost {
		code = exit.Wrong // until the operator finds a copy, or mounts the backups
	}
	p.own(t)
	for _, f := range all {
		if f.root {
			f.inject(t, p, w.history)
		}
	}
	tooNew := slices.ContainsFunc(all, func(f fault) bool { return f.name == newer })
	if tooNew && unbacked {
		code = exit.Wrong // until the database can be backed up
	}
	before, listed := p.all(t), listing(t, p.data())
	seen, got := p.follow(t, p.url)
	t.Log(seen)
	hidden := slices.ContainsFunc(all, func(f fault) bool { return f.name == notMounted })
	if asks && code == exit.Failed && !hidden {
		code, lost = exit.Wrong, true // until Bitcoin can be used
	}
	if !hidden || got != exit.Wrong {
		require.Equal(t, code, got, "the final exit status of\n%s", seen)
	} else {
		lost = true // until the backups are mounted
	}
	if len(p.timers) == 0 && (sound || lost || len(all) == 1 && code != exit.OK) {
		require.Equal(t, listed, listing(t, p.data()), "nothing should have been changed by\n%s", seen)
	}
	if p.small > 0 {
		return // the data was on a disk that is gone
	}
	for _, f := range all {
		for _, text := range w.history.snapshots[:f.pruned] {
			delete(before, "snapshot "+strings.TrimSuffix(text, "\n"))
		}
	}
	after := p.live(t)
	for thing := range before {
		require.True(t, after[thing] || lost || hidden || tooNew, "lost: %.60q by\n%s", thing, seen)
	}
	if !lost && !hidden {
		require.Equal(t, before.newest(), p.loaded(t), "a node loads another state after\n%s", seen)
	}
}

// live returns what the live data has.
func (p *patient) live(t *testing.T) holdings {
	h := holdings{}
	h.addFile(t, p.file())
	h.addDatabase(t, p.database())
	return h
}

// shortStep: in short mode, one of this many faults is tried.
const shortStep = 5

// TestDoctor: each fault alone. The doctor's plan is followed to the letter; then the doctor says
// healthy, and nothing is lost that the data and its backups had between them.
func TestDoctor(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if testing.Short() && i%shortStep != 1 {
				t.Skip("short mode tries only some of the faults")
			}
			t.Parallel()
			w.cure(t, f)
		})
	}
}

// tails has what can be after the last complete snapshot of a file.
var tails = []struct {
	name string
	text func(h *history) string
}{
	{"torn", func(h *history) string { return h.next()[:300] }},
	{"zeros", func(*history) string { return zeros }},
	{"torn, then a valid snapshot", func(h *history) string { return h.next()[:300] + h.next() }},
	{"torn, then an invalid snapshot", func(h *history) string { return h.next()[:300] + h.invalid() }},
	{"zeros, then a valid snapshot", func(h *history) string { return zeros + h.next() }},
	{"zeros, then an invalid snapshot", func(h *history) string { return zeros + h.invalid() }},
	{"zeros, an invalid snapshot, and a torn one", func(h *history) string { return zeros + h.invalid() + h.next()[:300] }},
	{"zeros, an invalid snapshot, and a valid one", func(h *history) string { return zeros + h.invalid() + h.next() }},
	{"zeros, an invalid snapshot, a valid one, and a torn one", func(h *history) string { return zeros + h.invalid() + h.next() + h.next()[:300] }},
	{"zeros, an invalid snapshot, zeros, and a valid one", func(h *history) string { return zeros + h.invalid() + zeros + h.next() }},
}

// TestDoctorOfTails: each tail, in a normal file, in a file with a second name, and after a killed
// prune, in the file and in what the prune had to carry over.
func TestDoctorOfTails(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	i := 0
	for _, tail := range tails {
		for _, f := range []fault{
			{name: "", inject: func(t *testing.T, p *patient, h *history) { add(t, p.file(), tail.text(h)) }},
			{name: " of a file with a second name", inject: func(t *testing.T, p *patient, h *history) {
				add(t, p.file(), tail.text(h))
				require.NoError(t, os.Link(p.file(), filepath.Join(p.data(), "another name")))
			}},
			{name: " of a pruned file", pruned: hours - 2, inject: func(t *testing.T, p *patient, h *history) {
				clitest.RunProcess(t, exit.OK, "ailee_prune_snapshots", "--in-place", "--keep", "2", "--accept-earlier-anchors", "--file", p.file())
				add(t, p.file(), tail.text(h))
			}},
			{name: " after a killed prune", pruned: 1, inject: func(t *testing.T, p *patient, h *history) {
				leavePrune(t, p, h.next())
				add(t, p.file(), tail.text(h))
			}},
			{name: " carried over by a killed prune", pruned: 1, inject: func(t *testing.T, p *patient, h *history) { leavePrune(t, p, tail.text(h)) }},
			{name: " carried over by a killed prune that left a file with a second name", pruned: 1, inject: func(t *testing.T, p *patient, h *history) {
				require.NoError(t, os.Link(p.file(), filepath.Join(p.data(), "another name")))
				leavePrune(t, p, tail.text(h))
			}},
			{name: " both", pruned: 1, inject: func(t *testing.T, p *patient, h *history) {
				leavePrune(t, p, tail.text(h))
				add(t, p.file(), tail.text(h))
			}},
		} {
			i++
			t.Run(tail.name+f.name, func(t *testing.T) {
				step := 3
				switch {
				case clitest.UnderLoad():
					step = 1
				case testing.Short():
					step = shortStep
				}
				if i%step != 0 {
					t.Skip("only make load tries all of them")
				}
				t.Parallel()
				w.cure(t, f)
			})
		}
	}
}

// TestDoctorOfPairs: two faults at a time, at random.
func TestDoctorOfPairs(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	// The same pairs each time, except with make load.
	pairs, seed := 8, int64(1)
	switch {
	case testing.Short():
		pairs = 4
	case clitest.UnderLoad():
		pairs, seed = 100, time.Now().UnixNano()
	}
	t.Log("seed", seed)
	rng := rand.New(rand.NewSource(seed))
	for done := 0; done < pairs; {
		a, b := faults[rng.Intn(len(faults))], faults[rng.Intn(len(faults))]
		if a.sound && b.sound || !compatible(a, b) {
			continue
		}
		done++
		t.Run(a.name+" and "+b.name, func(t *testing.T) {
			t.Parallel()
			w.cure(t, a, b)
		})
	}
}
