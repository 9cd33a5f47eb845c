package restore_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/restore"
)

// requireRefused asserts that a restore of both parts is refused with the message, a dry run as
// well, and that nothing is changed.
func requireRefused(t *testing.T, dir, says string) {
	t.Helper()
	before := clitest.Contents(t, dir)
	for _, args := range [][]string{{"--force"}, {"--force", "--dry-run"}} {
		code, _, stderr := run(t, start+5, dir, args...)
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, says)
		require.Equal(t, before, clitest.Contents(t, dir))
	}
}

// TestMountPoints: a part that is a mount point is not replaced, and then the other is not either.
func TestMountPoints(t *testing.T) {
	if !clitest.CanMount(t) {
		t.Skip("cannot mount")
	}
	for _, part := range []string{"reorg_db", "l2_snapshots.dat"} {
		dir := nodeDir(t, 2)
		backUp(t, dir, start)
		at := filepath.Join(dir, part)
		mount(t, at, at, "", unix.MS_BIND, "")
		requireRefused(t, dir, "error: "+at+" is a mount point, which cannot be replaced\n")
	}
	// An empty file system, such as the volume of a container.
	dir := nodeDir(t, 2)
	backUp(t, dir, start)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), []byte("old"), 0o600))
	mount(t, "tmpfs", filepath.Join(dir, "reorg_db"), "tmpfs", 0, "size=1m")
	code, _, stderr := run(t, start+5, dir)
	require.Equal(t, 1, code, stderr)
	require.Equal(t, "old", clitest.Read(t, filepath.Join(dir, "l2_snapshots.dat")))
	// A read-only file system.
	dir = nodeDir(t, 2)
	backUp(t, dir, start)
	mount(t, dir, dir, "", unix.MS_BIND, "")
	require.NoError(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	requireRefused(t, dir, " is on a file system that is mounted read-only\n")
	// The file is also mounted elsewhere.
	dir = nodeDir(t, 2)
	backUp(t, dir, start)
	other := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	mount(t, filepath.Join(dir, "l2_snapshots.dat"), other, "", unix.MS_BIND, "")
	requireRefused(t, dir, "is also mounted by itself, at "+other)
}

// TestAttributes: immutable or append-only data is not replaced.
func TestAttributes(t *testing.T) {
	if !clitest.CanMount(t) {
		t.Skip("cannot mount")
	}
	for _, path := range []string{"l2_snapshots.dat", "reorg_db/CURRENT", "reorg_db", "."} {
		for flag, says := range map[string]string{"i": " is immutable\n", "a": " is append-only\n"} {
			dir := nodeDir(t, 2)
			backUp(t, dir, start)
			at := filepath.Join(dir, path)
			if said, err := exec.Command("chattr", "+"+flag, at).CombinedOutput(); err != nil {
				t.Skipf("no attributes: %s", said)
			}
			t.Cleanup(func() { _ = exec.Command("chattr", "-"+flag, at).Run() })
			requireRefused(t, dir, "error: "+at+says+"ailee-restore: hint: chattr -"+flag+" "+at)
			require.NoError(t, exec.Command("chattr", "-"+flag, at).Run())
		}
	}
}

// TestAccessLists: whoever could read the old data can read the new data, and nobody else.
func TestAccessLists(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 2)
	backUp(t, dir, start)
	file, db := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "reorg_db")
	require.NoError(t, os.Chmod(file, 0o640))
	for _, path := range []string{file, db, filepath.Join(db, "CURRENT")} {
		if said, err := exec.Command("setfacl", "-m", "u:daemon:rwx", path).CombinedOutput(); err != nil {
			t.Skipf("no access lists: %s", said)
		}
		require.NoError(t, unix.Setxattr(path, "user.origin", []byte("node-7"), 0))
	}
	list := func(path string) string {
		said, err := exec.Command("getfacl", "-cp", path).Output()
		require.NoError(t, err)
		return string(said)
	}
	want := map[string]string{file: list(file), db: list(db), filepath.Join(db, "CURRENT"): list(filepath.Join(db, "CURRENT"))}
	require.Contains(t, want[file], "group::r--")
	code, _, stderr := run(t, start+5, dir, "--force")
	require.Zero(t, code, stderr)
	for path, was := range want {
		require.Equal(t, was, list(path), path)
		value := make([]byte, 16)
		n, err := unix.Getxattr(path, "user.origin", value)
		require.NoError(t, err)
		require.Equal(t, "node-7", string(value[:n]))
	}
}

// TestOwnerThatCannotBeGiven: nothing is replaced with data that the node cannot use.
func TestOwnerThatCannotBeGiven(t *testing.T) {
	dir := nodeDir(t, 2)
	top := clitest.ForNobody(t)
	backUp(t, dir, start)
	data := filepath.Join(top, "data")
	require.NoError(t, os.Rename(dir, data))
	require.NoError(t, exec.Command("chown", "-R", "65534:65534", data).Run())
	require.NoError(t, os.Chown(filepath.Join(data, "l2_snapshots.dat"), 0, 0))
	before := clitest.Contents(t, data)
	t.Setenv(clitest.DocumentsDir, "")
	// As root, it works as the owner of the folder.
	for _, as := range []func(args ...string) (int, string, string){
		func(args ...string) (int, string, string) { return clitest.AsNobody(t, 0o022, args...) },
		func(args ...string) (int, string, string) {
			stdout, stderr := clitest.RunProcess(t, 1, args[0], args[1:]...)
			return 1, stdout, stderr
		},
	} {
		code, _, stderr := as(restore.Name, "--data-dir", data, "--force")
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, "error: the replacement of l2_snapshots.dat cannot be prepared: cannot keep the owner (user 0, group 0)")
		require.Equal(t, before, clitest.Contents(t, data))
	}
	require.NoError(t, os.Chown(filepath.Join(data, "l2_snapshots.dat"), clitest.Nobody, clitest.Nobody))
	want := reorgtest.Records(t, filepath.Join(data, "reorg_db"))
	clitest.RunProcess(t, 0, restore.Name, "--data-dir", data, "--force")
	require.Equal(t, want, reorgtest.Records(t, filepath.Join(data, "reorg_db")))
}

// TestFullDisk: whenever the disk is too full, nothing is changed, and nothing is left behind.
func TestFullDisk(t *testing.T) {
	if !clitest.CanMount(t) {
		t.Skip("cannot mount")
	}
	from := nodeDir(t, 200)
	backUp(t, from, start)
	backups := filepath.Join(from, "backups")
	full, done := 0, false
	for _, kb := range []int{64, 150, 250, 350, 500, 700, 10_000} {
		dir := t.TempDir()
		mount(t, "tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kb))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), []byte("old"), 0o600))
		code, stdout, stderr := run(t, start+5, dir, "--backup-dir", backups)
		if code == 0 {
			done = true
			continue
		}
		full++
		require.Equal(t, 1, code, stderr)
		require.Regexp(t, `error: .* free in `+dir+`, (.* needed|more is needed for )`, stderr)
		require.NotContains(t, stdout, "Restored")
		require.Equal(t, []string{"l2_snapshots.dat"}, clitest.Names(t, dir))
		require.Equal(t, "old", clitest.Read(t, filepath.Join(dir, "l2_snapshots.dat")))
	}
	require.Greater(t, full, 1)
	require.True(t, done)
}

// planted are the things that another user can put where a file is to be written. Each leads to
// the folder outside, if anywhere.
var planted = map[string]func(path, outside string) error{
	"link":          func(path, outside string) error { return os.Symlink(filepath.Join(outside, "victim"), path) },
	"dangling link": func(path, outside string) error { return os.Symlink(filepath.Join(outside, "new"), path) },
	"folder link":   func(path, outside string) error { return os.Symlink(outside, path) },
	"hard link":     func(path, outside string) error { return os.Link(filepath.Join(outside, "victim"), path) },
	"pipe":          func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
	"folder":        func(path, outside string) error { return os.CopyFS(path, os.DirFS(outside)) },
}

// TestPlanted puts links and worse at every name that a run writes: nothing outside is ever
// written, moved or given away, and no run hangs.
func TestPlanted(t *testing.T) {
	clitest.InMemory(t)
	node := nodeDir(t, 3)
	backUp(t, node, start)
	outcomes := map[int]int{}
	names := []string{".l2_snapshots.dat.ailee-restore.tmp", ".reorg_db.ailee-restore.tmp", ".ailee-restore.json", "..ailee-restore.json.ailee-tmp",
		"l2_snapshots.dat.replaced_" + stampOf(start+9), "reorg_db.replaced_" + stampOf(start+9), "reorg_db/LOCK", "backups/ailee-catalogue.json"}
	for _, at := range names {
		for kind, plant := range planted {
			if testing.Short() && kind != "link" && kind != "pipe" {
				continue
			}
			dir, outside := filepath.Join(t.TempDir(), "dir"), filepath.Join(t.TempDir(), "outside")
			require.NoError(t, os.CopyFS(dir, os.DirFS(node)))
			require.NoError(t, os.Mkdir(outside, 0o750))
			require.NoError(t, os.WriteFile(filepath.Join(outside, "victim"), []byte(clitest.Numbered(76)+clitest.Numbered(77)), 0o640))
			require.NoError(t, os.RemoveAll(filepath.Join(dir, at)))
			require.NoError(t, plant(filepath.Join(dir, at), outside))
			was := listed(t, outside)
			code, _, stderr := run(t, start+9, dir, "--force")
			what := fmt.Sprintf("%s at %s\n%s", kind, at, stderr)
			require.Contains(t, []int{0, 1, 2}, code, what)
			require.Equal(t, was, listed(t, outside), what)
			require.NotContains(t, clitest.Read(t, filepath.Join(dir, "l2_snapshots.dat")), "-77", what)
			outcomes[code]++
		}
	}
	t.Logf("exit status: %v", outcomes)
	require.NotZero(t, outcomes[0])
	require.NotZero(t, outcomes[1])
}

// listed returns what is in a folder: modes, owners, times and contents.
func listed(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := clitest.Contents(t, dir)
	for _, name := range append(clitest.Names(t, dir), ".") {
		var stat unix.Stat_t
		require.NoError(t, unix.Lstat(filepath.Join(dir, name), &stat))
		all[name] += fmt.Sprintf(" %o %d:%d %d", stat.Mode, stat.Uid, stat.Gid, stat.Mtim.Nano())
	}
	return all
}
