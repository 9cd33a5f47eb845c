package users

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/restore"
)

// run runs a tool with the given folder for temporary files, or with "" the system's.
func run(t *testing.T, tmpdir string, args ...string) (ok bool, said string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	if tmpdir != "" {
		cmd.Env = append(os.Environ(), "TMPDIR="+tmpdir)
	}
	text, err := cmd.CombinedOutput()
	return err == nil, string(text)
}

// TestWhoRootBecomes: files that root creates belong to the owner of the folder, in a group of that
// user.
func TestWhoRootBecomes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	top, err := os.MkdirTemp("", "somebody-")
	require.NoError(t, err)
	defer os.RemoveAll(top)
	require.NoError(t, os.Chmod(top, 0o755))
	private := filepath.Join(top, "private")
	require.NoError(t, os.Mkdir(private, 0o700))
	state := filepath.Join(private, "state.dat")
	require.NoError(t, os.WriteFile(state, snapshots(t), 0o600))
	packed := filepath.Join(private, "packed.gz")
	require.NoError(t, exec.Command("sh", "-c", "gzip -c "+state+" > "+packed).Run())
	folder := func(name string, uid, gid int) string {
		path := filepath.Join(top, name)
		require.NoError(t, os.MkdirAll(path, 0o755))
		require.NoError(t, os.Chown(path, uid, gid))
		return path
	}
	belongs := func(path string, uid, gid int) {
		t.Helper()
		info, err := os.Stat(path)
		require.NoError(t, err)
		stat := info.Sys().(*syscall.Stat_t)
		require.EqualValues(t, []int{uid, gid}, []int{int(stat.Uid), int(stat.Gid)}, path)
	}
	made := func(ok bool, said string) { t.Helper(); require.True(t, ok, said) }

	// A file that only root can read is opened before; a folder for temporary files that only root
	// can use is not needed.
	data := folder("data", somebody, somebody)
	made(run(t, private, createanchor.Name, "--l2-state-file", state, "--data-dir", data))
	belongs(filepath.Join(data, "l2_snapshots.dat"), somebody, somebody)
	made(run(t, private, initreorgdb.Name, "--path", filepath.Join(data, "reorg_db")))
	belongs(filepath.Join(data, "reorg_db", "CURRENT"), somebody, somebody)

	// A folder that its owner cannot reach by path, such as the volume of a container.
	data = filepath.Join(private, "data")
	require.NoError(t, os.Mkdir(data, 0o755))
	require.NoError(t, os.Chown(data, somebody, somebody))
	made(run(t, "", initnode.Name, "--data-dir", data))
	made(run(t, "", createanchor.Name, "--l2-state-file", state, "--data-dir", data))
	made(run(t, "", createanchor.Name, "--l2-state-file", state, "--output", filepath.Join(data, "anchored.dat")))
	made(run(t, "", initreorgdb.Name, "--path", filepath.Join(data, "copy"), "--copy-from", filepath.Join(data, "reorg_db")))
	made(run(t, "", prunesnapshots.Name, "--in-place", "--keep", "1", "--file", filepath.Join(data, "l2_snapshots.dat")))
	made(run(t, "", prunesnapshots.Name, "--keep", "1", "--file", state, "--output", filepath.Join(data, "pruned.dat")))
	made(run(t, "", recoversnapshots.Name, state, packed, filepath.Join(data, "recovered.dat")))
	made(run(t, "", extractsnapshots.Name, state, filepath.Join(data, "parts")))
	made(run(t, "", l2verify.Name, "--snapshot", state, "--junit", filepath.Join(data, "report.xml")))
	made(run(t, "", restore.Name, "--force", "--data-dir", data, "--snapshot-backup", packed, "--db-backup", filepath.Join(data, "copy")))
	made(run(t, "", restore.Name, "--data-dir", data, "--db-backup", filepath.Join(data, "reorg_db")))
	requireSomebodys(t, data)

	// Sources that only root can read, but not through a link of the user.
	data = folder("restored", somebody, somebody)
	made(run(t, "", initreorgdb.Name, "--path", filepath.Join(private, "reorg_db")))
	made(run(t, "", restore.Name, "--data-dir", data, "--snapshot-backup", packed, "--db-backup", filepath.Join(private, "reorg_db")))
	require.NoError(t, os.Symlink(state, filepath.Join(data, "link")))
	require.NoError(t, os.Symlink(filepath.Join(private, "reorg_db"), filepath.Join(data, "folder")))
	requireSomebodys(t, filepath.Join(data, "reorg_db"))
	belongs(filepath.Join(data, "l2_snapshots.dat"), somebody, somebody)
	for _, args := range [][]string{{"--snapshot-backup", filepath.Join(data, "link")}, {"--db-backup", filepath.Join(data, "folder")}} {
		ok, said := run(t, "", append([]string{restore.Name, "--force", "--data-dir", data}, args...)...)
		require.False(t, ok)
		require.Contains(t, said, "permission denied\n")
	}

	// No other user gets the group root.
	data = folder("of-group-root", somebody, 0)
	made(run(t, "", initreorgdb.Name, "--path", filepath.Join(data, "reorg_db")))
	belongs(filepath.Join(data, "reorg_db", "CURRENT"), somebody, 65534)

	// In root's own folder it stays root, even if it makes a folder for another user.
	data = folder("of-root", 0, 0)
	made(run(t, "", initreorgdb.Name, "--path", filepath.Join(data, "reorg_db")))
	belongs(filepath.Join(data, "reorg_db", "CURRENT"), 0, 0)
	made(run(t, "", initnode.Name, "--data-dir", filepath.Join(data, "node"), "--owner", "12345:12345"))
	belongs(filepath.Join(data, "node", "reorg_db", "CURRENT"), somebody, somebody)
	made(run(t, "", initreorgdb.Name, "--path", filepath.Join(data, "copy"), "--copy-from", filepath.Join(data, "node", "reorg_db")))
	belongs(filepath.Join(data, "copy", "CURRENT"), somebody, somebody)

	// The owner of the first folder or link on the path decides where the path leads.
	inside := filepath.Join(folder("theirs", somebody, somebody), "of-root")
	require.NoError(t, os.Mkdir(inside, 0o755))
	link := filepath.Join(top, "theirs", "link")
	require.NoError(t, os.Symlink(data, link))
	for _, path := range []string{inside, link, filepath.Join(link, "..", "of-root")} {
		ok, said := run(t, "", initreorgdb.Name, "--path", path+"/reorg_db2")
		require.False(t, ok)
		require.Contains(t, said, "permission denied\n")
		require.Contains(t, said, "hint: run as root, it works as the user 12345, who owns "+filepath.Join(top, "theirs")+": ")
	}
	own := filepath.Join(top, "link")
	require.NoError(t, os.Symlink(filepath.Join(top, "of-root"), own))
	made(run(t, "", initreorgdb.Name, "--path", filepath.Join(own, "by-link")))
	belongs(filepath.Join(data, "by-link", "CURRENT"), 0, 0)
}
