package test

import (
	"bytes"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/diffsnapshots"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/getsnapshotblock"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/command/showsnapshot"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// TestReadingNeedsNoRights: the tools that only read work on a file system that is mounted
// read-only, as a user without the right to write there, and change nothing; files that they
// create elsewhere belong to that user.
func TestReadingNeedsNoRights(t *testing.T) {
	clitest.SkipUnderRace(t)
	top := clitest.ForNobody(t)
	data, out := filepath.Join(top, "data"), filepath.Join(top, "out")
	require.NoError(t, os.Mkdir(data, 0o755))
	require.NoError(t, os.Mkdir(out, 0o755))
	require.NoError(t, os.Chown(out, clitest.Nobody, clitest.Nobody))
	t.Setenv("TMPDIR", out)
	f, db := filepath.Join(data, "l2_snapshots.dat"), filepath.Join(data, "reorg_db")
	_, err := clitest.AppendAnchored(f, 1, "btc_height=840000")
	require.NoError(t, err)
	require.NoError(t, golden.Unpack("node-rocksdb-6.11.4", data))
	require.NoError(t, os.Rename(filepath.Join(data, "node-rocksdb-6.11.4"), db))
	require.NoError(t, filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o555)
		}
		return os.Chmod(path, 0o444)
	}))
	if clitest.CanMount(t) {
		require.NoError(t, unix.Mount(data, data, "", unix.MS_BIND, ""))
		defer func() { require.NoError(t, unix.Unmount(data, unix.MNT_DETACH)) }()
		require.NoError(t, unix.Mount("", data, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	before := tree(t, data)
	chain := bitcointest.NewChain(850_000)
	server := httptest.NewServer(chain)
	defer server.Close()
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	for _, args := range [][]string{
		{l2verify.Name, "--snapshot", f}, {l2verify.Name, "--all", "--strict", "--snapshot", f},
		{getsnapshotblock.Name, f}, {getsnapshotblock.Name, "--db-path", db, f},
		{showsnapshot.Name, "--totals", f}, {diffsnapshots.Name, f, f},
		{reorgverify.Name, "--db-path", db},
		{reorgshow.Name, "--db-path", db, "anchors"}, {reorgshow.Name, "--db-path", db, "events"}, {reorgshow.Name, "--db-path", db, "families"},
		{extractsnapshots.Name, f, filepath.Join(out, "parts")}, {extractsnapshots.Name, "--dry-run", f, filepath.Join(out, "others")},
		{prunesnapshots.Name, "--file", f, "--keep", "1", "--dry-run"},
		{recoversnapshots.Name, f, filepath.Join(out, "recovered.dat")}, {recoversnapshots.Name, "--dry-run", f, filepath.Join(out, "other.dat")},
		{initreorgdb.Name, "--path", filepath.Join(out, "reorg_db"), "--copy-from", db},
		{initnode.Name, "--data-dir", filepath.Join(out, "node")},
		{createanchor.Name, "--l2-state-file", f, "--output", filepath.Join(out, "anchored.dat")},
		{createanchor.Name, "--l2-state-file", f, "--data-dir", filepath.Join(out, "node")},
		{prunesnapshots.Name, "--file", filepath.Join(out, "node", "l2_snapshots.dat"), "--keep", "1", "--in-place"},
		{resyncblocks.Name, "--db-path", filepath.Join(out, "node", "reorg_db"), "--bitcoin-rpc", server.URL, "--start-height", "849990"},
	} {
		code, stdout, stderr := clitest.AsNobody(t, 0o022, args...)
		require.Zero(t, code, "%q: %s%s", args, stdout, stderr)
	}
	code, _, stderr := clitest.AsNobody(t, 0o022, prunesnapshots.Name, "--file", f, "--keep", "1", "--output", filepath.Join(out, "pruned.dat"))
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "warning: "+filepath.Join(out, "pruned.dat")+": cannot keep the owner ")
	t.Setenv(clitest.DocumentsDir, "") // nobody may not write there
	backups := filepath.Join(out, "backups")
	code, stdout, stderr := clitest.AsNobody(t, 0o022, backup.Name, "--data-dir", data, "--backup-dir", backups)
	require.Zero(t, code, stderr)
	require.Empty(t, stdout+stderr)
	// Only the owner of the data can see who has it open.
	const unseen = `ailee-monitor: error: could not check who has the data open: .*\nailee-monitor: hint: run it as the node's user, or as root\n$`
	watch := []string{monitor.Name, "--data-dir", data, "--backup-dir", backups, "--max-snapshot-age=1000000", "--max-orphaned=1000"}
	code, _, stderr = clitest.AsNobody(t, 0o022, append(watch, "--state-file", "")...)
	require.Equal(t, exit.Failed, code, stderr)
	require.Regexp(t, "^"+unseen, stderr)
	code, _, stderr = clitest.AsNobody(t, 0o022, watch...)
	require.Equal(t, exit.Failed, code, stderr)
	require.Regexp(t, `^ailee-monitor: warning: .*/.ailee-monitor cannot be written: .*\n`+unseen, stderr)
	require.Equal(t, before, tree(t, data))
	for path, mode := range map[string]os.FileMode{
		"parts/snapshot_1.dat":  0o444, // that of the source
		"pruned.dat":            0o444,
		"anchored.dat":          0o640,
		"node":                  0o750,
		"node/l2_snapshots.dat": 0o640, "node/reorg_db": 0o750, "node/backups": 0o750,
		"reorg_db": 0o750, "reorg_db/CURRENT": 0o640,
	} {
		info, err := os.Stat(filepath.Join(out, path))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
		require.EqualValues(t, clitest.Nobody, info.Sys().(*syscall.Stat_t).Uid, path)
	}
	// Only --owner needs more.
	code, _, stderr = clitest.AsNobody(t, 0o022, initnode.Name, "--data-dir", filepath.Join(out, "other"), "--owner", "0:0")
	require.Equal(t, exit.Failed, code)
	require.Contains(t, stderr, "hint: run it as root, on a file system that supports owners")
	require.NoDirExists(t, filepath.Join(out, "other"))
}

// TestNoCredentialShows: no credential is printed, even if the node refuses it.
func TestNoCredentialShows(t *testing.T) {
	const password = "hunter2-s3cret"
	dir := t.TempDir()
	db := filepath.Join(dir, "db")
	clitest.RunTool(t, exit.OK, initreorgdb.Tool(), "--path", db)
	file := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
	node := bitcointest.StartNode(t, false)
	t.Setenv("BITCOIN_RPC_USER", bitcointest.User)
	t.Setenv("BITCOIN_RPC_PASSWORD", bitcointest.Password)
	address := strings.TrimPrefix(node.URL, "http://")
	address = address[strings.LastIndex(address, "@")+1:]
	for _, c := range []struct {
		env []string
		url string
	}{
		{[]string{"BITCOIN_RPC_USER=u", "BITCOIN_RPC_PASSWORD=" + password}, "http://" + address},
		{[]string{"BITCOIN_RPC_USER=u", "BITCOIN_RPC_PASSWORD_FILE=" + file}, "http://" + address},
		{[]string{"BITCOIN_RPC_URL=http://u:" + password + "@" + address}, ""},
		{[]string{"BITCOIN_RPC_URL=http://u:" + password + "@127.0.0.1:1"}, ""},
		{[]string{"BITCOIN_RPC_URL=http://u:" + password + "@127.0.0.1:99999"}, ""},
		{[]string{"BITCOIN_RPC_URL=ftp://u:" + password + "@x/" + password}, ""},
		{[]string{"BITCOIN_RPC_URL=http://u:" + password + "@%zz"}, ""},
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			args := append(more, "--db-path", db, "--rpc-wait", "0")
			if c.url != "" {
				args = append(args, "--bitcoin-rpc", c.url)
			}
			var out bytes.Buffer
			cmd := exec.Command(resyncblocks.Name, args...)
			cmd.Env = append(append(os.Environ(), c.env...), cli.TraceVariable+"=1")
			cmd.Stdout, cmd.Stderr = &out, &out
			require.Error(t, cmd.Run(), c.env)
			require.Equal(t, exit.Failed, cmd.ProcessState.ExitCode(), out.String())
			require.Contains(t, out.String(), "error")
			require.NotContains(t, out.String(), password, c.env)
			require.NotContains(t, out.String(), "dTpo", "nor in base64")
		}
	}
}

// TestNoCredentialInTheProcessList: while a tool waits for a Bitcoin node, nothing that every user
// can see of its process has the password, and it has started no other process.
func TestNoCredentialInTheProcessList(t *testing.T) {
	const password = "hunter2-s3cret"
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(password), 0o600))
	// It does not answer.
	node, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer node.Close()
	url := "http://" + node.Addr().String()
	for _, env := range [][]string{
		{"BITCOIN_RPC_URL=" + url, "BITCOIN_RPC_USER=u", "BITCOIN_RPC_PASSWORD=" + password},
		{"BITCOIN_RPC_URL=" + url, "BITCOIN_RPC_USER=u", "BITCOIN_RPC_PASSWORD_FILE=" + file},
		{"BITCOIN_RPC_URL=http://u:" + password + "@" + node.Addr().String()},
	} {
		cmd := exec.Command(getsnapshotblock.Name, filepath.Join(golden.Dir(), "verify", "valid_minimal.dat"))
		cmd.Env = append(os.Environ(), env...)
		require.NoError(t, cmd.Start())
		asked, err := node.Accept()
		require.NoError(t, err)
		process := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid))
		line, err := os.ReadFile(filepath.Join(process, "cmdline"))
		require.NoError(t, err)
		require.Contains(t, string(line), getsnapshotblock.Name)
		require.NotContains(t, string(line), password)
		tasks, err := filepath.Glob(filepath.Join(process, "task", "*", "children"))
		require.NoError(t, err)
		require.NotEmpty(t, tasks)
		for _, task := range tasks {
			children, err := os.ReadFile(task)
			require.NoError(t, err)
			require.Empty(t, string(children))
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.NoError(t, asked.Close())
	}
}
