package test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// guideSnapshots is how many snapshots the data directory of the guide has. The backup has
// one less, and the database has the anchors of the last four.
const guideSnapshots = 10

var anchorLine = regexp.MustCompile(`(?m)^anchor "([0-9a-f]{64})" .*"([0-9a-f]{64})"$`)

// rootOf returns the state root of a snapshot.
func rootOf(number int) string { return anchorLine.FindStringSubmatch(clitest.Numbered(number))[1] }

// anchorOf returns the hash of a snapshot's anchor.
func anchorOf(number int) string { return anchorLine.FindStringSubmatch(clitest.Numbered(number))[2] }

// healthyNode makes a folder with the data directory of a healthy node, ailee, and the node's
// state, current_state.json.
func healthyNode(t *testing.T) string {
	t.Helper()
	parent := t.TempDir()
	dir := filepath.Join(parent, "ailee")
	require.NoError(t, os.Mkdir(dir, 0o750))
	makeGuideDatabase(t, filepath.Join(dir, "reorg_db"))
	file := filepath.Join(dir, "l2_snapshots.dat")
	for i := 1; i <= guideSnapshots; i++ {
		if i == guideSnapshots {
			quiet(t, start, "ailee-backup", "--data-dir", dir)
		}
		require.NoError(t, clitest.AppendOne(file, i))
	}
	clitest.RunTool(t, exit.OK, extractsnapshots.Tool(), "--format", "json", "--last", "1", file, filepath.Join(parent, "states"))
	require.NoError(t, os.Rename(match(t, parent, "states/*.json"), filepath.Join(parent, "current_state.json")))
	return parent
}

// makeGuideDatabase makes a database with four anchors, one of them invalidated by a reorg, and
// the newest blocks, which are only in the log.
func makeGuideDatabase(t *testing.T, path string) {
	chain := newGuideChain()
	db, err := reorgdb.Create(path)
	require.NoError(t, err)
	write := func(blocks []reorgdb.Block, anchors ...reorgdb.Anchor) {
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			for _, b := range blocks {
				_, _, err := u.Block(t.Context(), b, start)
				require.NoError(t, err)
			}
			for _, a := range anchors {
				require.NoError(t, u.Anchor(a))
			}
			return nil
		}))
	}
	anchorAt := func(number int, height uint64) reorgdb.Anchor {
		root, hash := rootOf(number), anchorOf(number)
		return reorgdb.Anchor{Hash: hash, BitcoinTxID: hash, BitcoinHeight: height, Confirmations: 6, BroadcastTime: start * 1000, Status: reorgdb.Confirmed, L2StateRoot: root}
	}
	blocks := func(from, to uint64) (all []reorgdb.Block) {
		for height := from; height <= to; height++ {
			all = append(all, reorgdb.Block{Height: height, Hash: chain.Hash(int64(height))})
		}
		return all
	}
	stale := reorgdb.Block{Height: 840010, Hash: fmt.Sprintf("%064x", 1)}
	write(append(blocks(839990, 840009), stale), anchorAt(7, 839992), anchorAt(8, 839996), anchorAt(9, 840010))
	write(blocks(840010, 840017), anchorAt(10, 840000))
	require.NoError(t, db.Sync())
	write(blocks(840018, 840019))
	write(blocks(840020, 840020))
	require.NoError(t, db.Close())
}

// spoilers has what is done to a healthy data directory.
var spoilers = map[string]func(t *testing.T, s *sandbox){
	"healthy": func(*testing.T, *sandbox) {},
	// Cut in the middle of an append, and of a log record.
	"torn": func(t *testing.T, s *sandbox) {
		add(t, filepath.Join(s.dataDir(), "l2_snapshots.dat"), clitest.Numbered(guideSnapshots + 1)[:300])
		log := match(t, s.dataDir(), "reorg_db/*.log")
		require.NoError(t, os.Truncate(log, clitest.FileSize(t, log)-5))
	},
	// Changes a balance in the latest snapshot, and the list of the database's tables.
	"corrupt": func(t *testing.T, s *sandbox) {
		change(t, filepath.Join(s.dataDir(), "l2_snapshots.dat"), func(data []byte) {
			at := bytes.LastIndex(data, []byte(`balance "peer-0007`))
			data[at+bytes.IndexByte(data[at:], '\n')-1] ^= 1
		})
		change(t, match(t, s.dataDir(), "reorg_db/MANIFEST-*"), func(data []byte) { data[len(data)/2] ^= 1 })
	},
	"emptied": func(t *testing.T, s *sandbox) {
		require.NoError(t, os.Remove(filepath.Join(s.dataDir(), "l2_snapshots.dat")))
		require.NoError(t, os.RemoveAll(filepath.Join(s.dataDir(), "reorg_db")))
	},
	// The node anchors its state once more before it stops.
	"anchoring": func(t *testing.T, s *sandbox) {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "next.dat"), []byte(clitest.Numbered(guideSnapshots+1)), 0o644))
	},
	// More snapshots than the guide keeps.
	"long": func(t *testing.T, s *sandbox) {
		for i := guideSnapshots + 1; i <= 1005; i++ {
			require.NoError(t, clitest.AppendOne(filepath.Join(s.dataDir(), "l2_snapshots.dat"), i))
		}
	},
	"large": func(t *testing.T, s *sandbox) {
		grow(t, s.dataDir(), 5001<<20)
		f, err := os.Create(filepath.Join(s.dataDir(), "reorg_db", "large"))
		require.NoError(t, err)
		require.NoError(t, errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, 1001<<20), f.Close()))
	},
	// Whenever the clock is read, a second has passed, or an hour.
	"ticking": func(t *testing.T, s *sandbox) { s.setClock(t, 1) },
	"hourly":  func(t *testing.T, s *sandbox) { s.setClock(t, 3600) },
	// The node has appended after a torn tail.
	"hidden": func(t *testing.T, s *sandbox) {
		add(t, filepath.Join(s.dataDir(), "l2_snapshots.dat"), clitest.Numbered(guideSnapshots + 1)[:300]+clitest.Numbered(guideSnapshots+2))
	},
	// Another node has a different balance for a peer in its latest snapshot.
	"other": func(t *testing.T, s *sandbox) {
		data := clitest.Read(t, filepath.Join(s.dataDir(), "l2_snapshots.dat"))
		at := strings.LastIndex(data, `balance "peer-0007`)
		at += strings.IndexByte(data[at:], '\n') - 1
		require.NoError(t, os.WriteFile(filepath.Join(s.dataDir(), "other.dat"), []byte(data[:at]+string(data[at]^1)+data[at+1:]), 0o644))
	},
	// No backup except the one of Procedure 1.
	"one-backup": func(t *testing.T, s *sandbox) {
		require.NoError(t, os.Remove(match(t, s.dataDir(), "backups/l2_snapshots_2*.dat.bak")))
	},
}

// grow puts n bytes that belong to no snapshot in front of the snapshots.
func grow(t *testing.T, dir string, n int64) {
	t.Helper()
	path := filepath.Join(dir, "l2_snapshots.dat")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = f.WriteAt(append([]byte("\n"), data...), n-1)
	require.NoError(t, errors.Join(err, f.Close()))
}

// guideNow is when the operator begins, an hour after the backup, in Unix seconds.
const guideNow = start + 3600

// setClock sets the clock, which advances by step seconds whenever it is read.
func (s *sandbox) setClock(t *testing.T, step int) {
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "clock"), fmt.Appendf(nil, "%d %d\n", guideNow, step), 0o644))
}

func match(t *testing.T, dir, pattern string) string {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func change(t *testing.T, path string, edit func(data []byte)) {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	edit(data)
	require.NoError(t, os.WriteFile(path, data, 0o640))
}

func add(t *testing.T, path, text string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, errors.Join(err, f.Close()))
}

// newGuideSandbox makes a sandbox with a copy of a healthy data directory, to which it does what
// the words in state say, and with the node's state as JSON in /tmp.
func newGuideSandbox(t *testing.T, healthy, state string) *sandbox {
	s := newSandbox(t)
	require.NoError(t, os.Remove(s.dataDir()))
	require.NoError(t, exec.Command("cp", "-a", filepath.Join(healthy, "ailee"), s.dataDir()).Run())
	require.NoError(t, exec.Command("cp", filepath.Join(healthy, "current_state.json"), filepath.Join(s.dir, "tmp")).Run())
	s.setClock(t, 0)
	for _, word := range strings.Fields(state) {
		spoilers[word](t, s)
	}
	if os.Geteuid() == 0 {
		require.NoError(t, exec.Command("chown", "-R", fmt.Sprintf("%d:%[1]d", aileeUID), s.dataDir()).Run())
	}
	return s
}

// kept matches the time in the names of files that a restore keeps.
var kept = regexp.MustCompile(`(\.replaced_)\d{8}_\d{6}$`)

// describe returns a description of what is in a data directory.
func describe(t *testing.T, dir string) string {
	var parts []string
	for _, name := range clitest.Names(t, dir) {
		path := filepath.Join(dir, name)
		switch info, err := os.Stat(path); {
		case err != nil:
			require.NoError(t, err)
		case strings.HasPrefix(name, "l2_snapshots"):
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			verify := exec.Command("ailee_l2_verify", "--quiet", "--snapshot", path)
			_ = verify.Run()
			parts = append(parts, fmt.Sprintf("%s: %s, verify %d", kept.ReplaceAllString(name, "${1}TIME"), listed(string(data)), verify.ProcessState.ExitCode()))
		case strings.HasPrefix(name, "reorg_db"):
			parts = append(parts, kept.ReplaceAllString(name, "${1}TIME")+": "+counted(t, path))
		case name == "backups":
			parts = append(parts, "backups: "+backedUp(t, path))
		case info.IsDir():
			parts = append(parts, name+" ("+describe(t, path)+")")
		default:
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, "; ")
}

// listed returns the numbers of the snapshots in a file, such as "1-9, 11", and what else is in
// it.
func listed(data string) string {
	const end = "END_SNAPSHOT\n"
	var parts []string
	first, last := 0, 0
	for len(data) > 0 {
		one, number := data, 0
		if at := strings.Index(data, end); at >= 0 {
			one = data[:at+len(end)]
			_, _ = fmt.Sscanf(one, "SNAPSHOT v1\ntimestamp_ms %d\n", &number)
		}
		data = data[len(one):]
		switch {
		case number == 0 || number > 2000 || one != clitest.Numbered(number):
			if parts = append(parts, "another snapshot"); !strings.HasSuffix(one, end) {
				parts[len(parts)-1] = fmt.Sprintf("%d bytes", len(one))
			}
		case number == last+1 && number > 1:
			last = number
			parts[len(parts)-1] = fmt.Sprintf("%d-%d", first, last)
		default:
			first, last = number, number
			parts = append(parts, fmt.Sprint(number))
		}
	}
	return strings.Join(parts, ", ")
}

// counted returns how many records of each kind a database has.
func counted(t *testing.T, path string) string {
	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return "does not open"
	}
	require.NoError(t, db.Close())
	kinds := map[string]int{}
	for key := range reorgtest.Records(t, path) {
		kind, _, _ := strings.Cut(strings.TrimPrefix(key, "default/"), ":")
		kinds[kind]++
	}
	return fmt.Sprintf("%d blocks, %d anchors, %d events", kinds["block"], kinds["anchor"], kinds["reorg"])
}

// backedUp returns what there are backups of.
func backedUp(t *testing.T, dir string) string {
	counts := map[string]int{}
	for _, name := range clitest.Names(t, dir) {
		switch {
		case strings.HasPrefix(name, "reorg_db_"):
			counts["of the database"]++
			continue
		case !strings.HasPrefix(name, "l2_snapshots"):
			continue // the catalogue, and the lock
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		counts["of "+listed(string(data))]++
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[what], what))
	}
	return strings.Join(parts, ", ")
}
