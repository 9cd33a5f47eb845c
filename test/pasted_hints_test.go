package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/golden"
)

// lastHint is the command line at the end of the last hint, up to a semicolon.
var lastHint = regexp.MustCompile(`(?m)^.*: hint: (?:.*: )?([a-z][^:;]*)(?:; .*)?$`)

// nodeWithBackup makes the data directory of a node with a backup.
func nodeWithBackup(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), []byte(clitest.Numbered(1)+clitest.Numbered(2)), 0o644))
	require.NoError(t, golden.Unpack("node-rocksdb-7.8.3-reopened", dir))
	require.NoError(t, os.Rename(filepath.Join(dir, "node-rocksdb-7.8.3-reopened"), filepath.Join(dir, "reorg_db")))
	clitest.RunProcess(t, 0, "ailee-backup", "--data-dir", dir)
}

// TestHintsHelp: the command in a hint, pasted into a shell, solves the problem: the tool that
// gave the hint then succeeds.
func TestHintsHelp(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(t *testing.T, dir string)
		run    []string // DIR is the data directory
		hint   string
	}{
		"no database": {
			func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db"))) },
			[]string{"ailee_reorg_verify", "--db-path", "DIR/reorg_db"},
			"restore it: ailee-restore --db-only --data-dir DIR; only a new node starts with an empty one",
		},
		"an empty database folder": {
			func(t *testing.T, dir string) {
				require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db")))
				require.NoError(t, os.Mkdir(filepath.Join(dir, "reorg_db"), 0o755))
			},
			[]string{"ailee_reorg_verify", "--db-path", "DIR/reorg_db"},
			"the folder is empty: restore the database: ailee-restore --db-only --data-dir DIR; only a new node starts with an empty one",
		},
		"no database to back up": {
			func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "reorg_db"))) },
			[]string{"ailee-backup", "--data-dir", "DIR"},
			"restore it: ailee-restore --db-only --data-dir DIR; only a new node starts with an empty one",
		},
		"no snapshot file to back up": {
			func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "l2_snapshots.dat"))) },
			[]string{"ailee-backup", "--data-dir", "DIR"},
			"restore it: ailee-restore --snapshot-only --data-dir DIR",
		},
		"an empty snapshot file": {
			func(t *testing.T, dir string) {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), nil, 0o644))
			},
			[]string{"ailee_l2_verify", "--snapshot", "DIR/l2_snapshots.dat"},
			"restore the file: ailee-restore --snapshot-only --data-dir DIR",
		},
		"a file that is torn": {
			func(t *testing.T, dir string) {
				f, err := os.OpenFile(filepath.Join(dir, "l2_snapshots.dat"), os.O_APPEND|os.O_WRONLY, 0)
				require.NoError(t, err)
				_, err = f.WriteString("SNAPSHOT|")
				require.NoError(t, err)
				require.NoError(t, f.Close())
			},
			[]string{"ailee_l2_verify", "--strict", "--snapshot", "DIR/l2_snapshots.dat"},
			"a node that appends to this would damage its next snapshot: remove what is unfinished: ailee_prune_snapshots --in-place --keep all --file DIR/l2_snapshots.dat",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ailee")
			nodeWithBackup(t, dir)
			c.breaks(t, dir)
			for i := range c.run {
				c.run[i] = strings.Replace(c.run[i], "DIR", dir, 1)
			}
			out, err := exec.Command(c.run[0], c.run[1:]...).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), ": hint: "+strings.ReplaceAll(c.hint, "DIR", dir)+"\n")
			paste(t, string(out))
			out, err = exec.Command(c.run[0], c.run[1:]...).CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

// paste runs the command line of the last hint in the output of a command.
func paste(t *testing.T, said string) {
	t.Helper()
	found := lastHint.FindAllStringSubmatch(said, -1)
	require.NotEmpty(t, found, said)
	line := found[len(found)-1][1]
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	require.NoError(t, err, "%s\n%s", line, out)
}

// TestHintForRootsDatabase: the hint gives root's files in the node's folder back to the node.
func TestHintForRootsDatabase(t *testing.T) {
	dir := filepath.Join(clitest.ForNobody(t), "ailee")
	nodeWithBackup(t, dir)
	database := filepath.Join(dir, "reorg_db")
	require.NoError(t, os.Chown(dir, clitest.Nobody, clitest.Nobody))
	require.NoError(t, os.Chmod(database, 0o700))
	code, _, stderr := clitest.AsNobody(t, 0o022, "ailee_reorg_verify", "--db-path", database)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "hint: "+database+" belongs to root: give it to the owner of its folder, as root: chown -R --reference="+dir+" "+database+"\n")
	paste(t, stderr)
	code, _, stderr = clitest.AsNobody(t, 0o022, "ailee_reorg_verify", "--db-path", database)
	require.Zero(t, code, stderr)

	// A folder of another user is for that user to handle.
	require.NoError(t, os.Chown(dir, 0, 0))
	require.NoError(t, os.Chmod(dir, 0o700))
	_, _, stderr = clitest.AsNobody(t, 0o022, "ailee_reorg_verify", "--db-path", database)
	require.Contains(t, stderr, "hint: "+dir+" belongs to root: run it as that user, or as root\n")
}

// TestHintForReadOnlyMount: a mount that is read-only only for this process, as in a systemd unit
// with ProtectSystem=, is distinguished from a read-only file system.
func TestHintForReadOnlyMount(t *testing.T) {
	if os.Geteuid() != 0 || !clitest.CanMount(t) {
		t.Skip("only root can mount, and not in every container")
	}
	dir := filepath.Join(t.TempDir(), "ailee")
	nodeWithBackup(t, dir)
	const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec ailee_prune_snapshots --in-place --keep 1 --file "$0/l2_snapshots.dat"`
	out, err := exec.Command("unshare", "-m", "sh", "-c", script, dir).CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `: read-only file system\n.*hint: (this process may not write there, while others may: let its container or sandbox write to `+dir+
		`|the unit may not write there: systemctl edit \S+, and add under \[Service\]: ReadWritePaths=`+dir+`)\n`, string(out))
}

// TestHintsForProcesses: what the process lacks is named, and the command works where it has it.
func TestHintsForProcesses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has capabilities to drop")
	}
	top := clitest.ForNobody(t)
	dir := filepath.Join(top, "ailee")
	nodeWithBackup(t, dir)
	database, file := filepath.Join(dir, "reorg_db"), filepath.Join(dir, "l2_snapshots.dat")
	verify := []string{"ailee_reorg_verify", "--db-path", database}
	prune := []string{"ailee_prune_snapshots", "--in-place", "--keep", "1", "--file", file}
	for _, c := range []struct {
		owner    int
		lacks    []string // what comes before the command
		args     []string
		hint     string
		succeeds []string
	}{
		{0, []string{"env", "TMPDIR=" + file}, verify, "temporary files cannot be written to " + file + ": name another folder: export TMPDIR=DIR", []string{"env", "TMPDIR=" + top}},
		{clitest.Nobody, []string{"setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"}, prune, "run it as that user",
			[]string{"setpriv", "--reuid", strconv.Itoa(clitest.Nobody), "--regid", strconv.Itoa(clitest.Nobody), "--clear-groups"}},
	} {
		require.NoError(t, exec.Command("chown", "-R", strconv.Itoa(c.owner)+":"+strconv.Itoa(c.owner), dir).Run())
		out, err := exec.Command(c.lacks[0], append(c.lacks[1:], c.args...)...).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), ": hint: "+c.hint+"\n")
		out, err = exec.Command(c.succeeds[0], append(c.succeeds[1:], c.args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}
