package restore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/clitest"
)

const stamp = "20260318_102055"

// part is a file or folder to be replaced, in its own folder.
type part struct {
	*move
	text func(name string) string // the content under a name, "" for nothing
}

func makePart(t *testing.T, database, there bool) part {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) uint64 {
		path := filepath.Join(dir, name)
		if database {
			require.NoError(t, os.Mkdir(path, 0o700))
			path = filepath.Join(path, "CURRENT")
		}
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		n, err := inode(filepath.Join(dir, name))
		require.NoError(t, err)
		return n
	}
	m := &move{Part: backups.Snapshots, Name: "live", folder: dir, kept: keptName("live", stamp)}
	if database {
		m.Part = backups.Database
	}
	m.Stage = put(stageName("live"), "new")
	if there {
		m.Live = put("live", "old")
	}
	return part{m, func(name string) string {
		path := filepath.Join(dir, name)
		if database {
			path = filepath.Join(path, "CURRENT")
		}
		text, _ := os.ReadFile(path)
		return string(text)
	}}
}

// requireDone asserts that the new data is in its place and the old data is kept.
func (p part) requireDone(t *testing.T) {
	t.Helper()
	names, kept := []string{"live"}, ""
	if p.Live != 0 {
		names, kept = []string{"live", p.kept}, "old"
	}
	require.Equal(t, names, clitest.Names(t, p.folder))
	require.Equal(t, "new", p.text("live"))
	require.Equal(t, kept, p.text(p.kept))
}

// TestForward: the new data takes the place of the old data, and a second call does nothing.
func TestForward(t *testing.T) {
	for _, database := range []bool{false, true} {
		for _, there := range []bool{false, true} {
			p := makePart(t, database, there)
			require.NoError(t, p.forward())
			p.requireDone(t)
			require.NoError(t, p.forward())
			p.requireDone(t)
		}
	}
}

// TestForwardFromAnywhere: whatever step was the last one, on a file system that can exchange
// names and on one that cannot, the next run continues from there.
func TestForwardFromAnywhere(t *testing.T) {
	for _, database := range []bool{false, true} {
		live, stage := func(p part) string { return p.path("live") }, func(p part) string { return p.path(stageName("live")) }
		steps := map[string]func(t *testing.T, p part){
			"exchanged": func(t *testing.T, p part) {
				require.NoError(t, unix.Renameat2(unix.AT_FDCWD, stage(p), unix.AT_FDCWD, live(p), unix.RENAME_EXCHANGE))
			},
			"moved away": func(t *testing.T, p part) { require.NoError(t, os.Rename(live(p), p.path(p.kept))) },
			"moved away, and the name held": func(t *testing.T, p part) {
				require.NoError(t, os.Rename(live(p), p.path(p.kept)))
				if database {
					require.NoError(t, os.Mkdir(live(p), 0))
				} else {
					require.NoError(t, os.WriteFile(live(p), nil, 0))
				}
			},
		}
		if !database {
			steps["a second name"] = func(t *testing.T, p part) { require.NoError(t, os.Link(live(p), p.path(p.kept))) }
			steps["placed by a second name"] = func(t *testing.T, p part) {
				require.NoError(t, os.Rename(live(p), p.path(p.kept)))
				require.NoError(t, os.Link(stage(p), live(p)))
			}
		}
		for name, step := range steps {
			t.Run(name, func(t *testing.T) {
				p := makePart(t, database, true)
				step(t, p)
				require.NoError(t, p.forward())
				p.requireDone(t)
			})
		}
	}
}

// TestForwardRefusesWhatItDoesNotKnow: nothing is moved if something else has one of the names.
func TestForwardRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, p part){
		"live replaced": func(t *testing.T, p part) {
			require.NoError(t, os.WriteFile(p.path("x"), nil, 0o600))
			require.NoError(t, os.Rename(p.path("x"), p.path("live")))
		},
		"stage gone":    func(t *testing.T, p part) { require.NoError(t, os.Remove(p.path(stageName("live")))) },
		"live gone":     func(t *testing.T, p part) { require.NoError(t, os.Remove(p.path("live"))) },
		"kept is taken": func(t *testing.T, p part) { require.NoError(t, os.WriteFile(p.path(p.kept), nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := makePart(t, false, true)
			change(t, p)
			before := clitest.Names(t, p.folder)
			require.ErrorContains(t, p.forward(), "its files were moved since")
			require.Equal(t, before, clitest.Names(t, p.folder))
		})
	}
}

// TestNoMomentWithout: a reader that polls as fast as possible always finds the old or the new
// data under the name.
func TestNoMomentWithout(t *testing.T) {
	for _, database := range []bool{false, true} {
		p := makePart(t, database, true)
		stop, missed := make(chan struct{}), make(chan int)
		started := make(chan struct{})
		go func() {
			n := 0
			for first := true; ; first = false {
				if text := p.text("live"); text != "old" && text != "new" {
					n++
				}
				if first {
					close(started)
				}
				select {
				case <-stop:
					missed <- n
					return
				default:
				}
			}
		}()
		<-started
		for range 200 {
			require.NoError(t, p.forward())
			p.requireDone(t)
			// Swap back for the next round.
			require.NoError(t, os.Rename(p.path(p.kept), p.path(stageName("live"))))
			p.Live, p.Stage = p.Stage, p.Live
			require.NoError(t, p.forward())
			require.NoError(t, os.Rename(p.path(p.kept), p.path(stageName("live"))))
			p.Live, p.Stage = p.Stage, p.Live
		}
		close(stop)
		require.Zero(t, <-missed)
	}
}

// TestJournal: a journal is read back as it was written, and one that no run of this tool wrote
// is refused.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	j := &journal{Version: 1, Time: stamp, Moves: []move{
		{Part: backups.Database, Name: "reorg_db", Stage: 1<<63 + 1, Live: 7, From: "a"},
		{Part: backups.Snapshots, Name: "moved.dat", Stage: 8, From: "b"},
	}}
	none, err := readJournal(dir)
	require.NoError(t, err)
	require.Nil(t, none)
	require.NoError(t, j.write(dir))
	got, err := readJournal(dir)
	require.NoError(t, err)
	require.Equal(t, "reorg_db.replaced_"+stamp, got.Moves[0].kept)
	for i := range got.Moves {
		got.Moves[i].kept = ""
	}
	require.Equal(t, j, got)
	require.NoError(t, removeJournal(dir))
	require.NoError(t, removeJournal(dir))
	require.Empty(t, clitest.Names(t, dir))

	path := filepath.Join(dir, journalName)
	good, err := json.Marshal(j)
	require.NoError(t, err)
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, good, 0o600))
	change := func(c func(j *journal)) func() error {
		return func() error {
			bad := *j
			bad.Moves = append([]move{}, j.Moves...)
			c(&bad)
			text, err := json.Marshal(&bad)
			require.NoError(t, err)
			return os.WriteFile(path, text, 0o600)
		}
	}
	for name, plant := range map[string]func() error{
		"link":            func() error { return os.Symlink(outside, path) },
		"hard link":       func() error { return os.Link(outside, path) },
		"folder":          func() error { return os.Mkdir(path, 0o700) },
		"pipe":            func() error { return unix.Mkfifo(path, 0o600) },
		"open to others":  func() error { _ = os.WriteFile(path, good, 0o600); return os.Chmod(path, 0o666) },
		"no JSON":         func() error { return os.WriteFile(path, []byte("{"), 0o600) },
		"another field":   func() error { return os.WriteFile(path, []byte(`{"version":1,"path":"/etc"}`), 0o600) },
		"no parts":        change(func(j *journal) { j.Moves = nil }),
		"twice":           change(func(j *journal) { j.Moves[1].Part = j.Moves[0].Part }),
		"another part":    change(func(j *journal) { j.Moves[1].Part = "backups" }),
		"another version": change(func(j *journal) { j.Version = 2 }),
		"a path":          change(func(j *journal) { j.Moves[1].Name = "../x" }),
		"the folder":      change(func(j *journal) { j.Moves[1].Name = ".." }),
		"no name":         change(func(j *journal) { j.Moves[1].Name = "" }),
		"a path as time":  change(func(j *journal) { j.Time = "/../../x_000000" }),
		"no inode":        change(func(j *journal) { j.Moves[1].Stage = 0 }),
	} {
		require.NoError(t, plant())
		_, err := readJournal(dir)
		require.Error(t, err, name)
		require.NoError(t, os.RemoveAll(path))
	}
	if os.Geteuid() == 0 {
		require.NoError(t, os.WriteFile(path, good, 0o600))
		require.NoError(t, os.Chown(path, clitest.Nobody, clitest.Nobody))
		_, err := readJournal(dir)
		require.ErrorContains(t, err, "was not left by a restore")
	}
}

// TestWrap: words are not split, and no line is wider than a terminal.
func TestWrap(t *testing.T) {
	require.Equal(t, []string{
		"reorg_db is sound, left alone, but lacks what reorg_db_20260318_081703.tar.gz",
		"  has: 14 anchors, 3 events; it has 2 blocks that the backup lacks",
	}, wrap("reorg_db is sound, left alone, but lacks what reorg_db_20260318_081703.tar.gz has: 14 anchors, 3 events; it has 2 blocks that the backup lacks"))
	require.Equal(t, []string{"  a b"}, indented("a b"))
}
