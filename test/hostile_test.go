package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/diffsnapshots"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/getsnapshotblock"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/command/showsnapshot"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// tree returns everything in a folder: types, modes, link targets and contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		text := fmt.Sprintf("%o %d:%d ", stat.Mode, stat.Uid, stat.Gid)
		switch d.Type() {
		case 0:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += string(data)
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += target
		}
		all[strings.TrimPrefix(path, dir)] = text
		return nil
	}))
	return all
}

// planted has what an attacker can put at the name of a file that is going to be written. If it
// leads anywhere, then to the folder outside.
var planted = map[string]func(path, outside string) error{
	"link":          func(path, outside string) error { return os.Symlink(filepath.Join(outside, "victim"), path) },
	"dangling link": func(path, outside string) error { return os.Symlink(filepath.Join(outside, "new"), path) },
	"folder link":   func(path, outside string) error { return os.Symlink(outside, path) },
	"empty link":    func(path, outside string) error { return os.Symlink(filepath.Join(outside, "empty"), path) },
	"hard link":     func(path, outside string) error { return os.Link(filepath.Join(outside, "victim"), path) },
	"pipe":          func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
	"folder":        func(path, _ string) error { return os.Mkdir(path, 0o755) },
}

// TestPlanted puts links and worse at every name that a tool writes or creates temporarily:
// nothing outside is ever written, moved or given away, and no run hangs.
func TestPlanted(t *testing.T) {
	clitest.InMemory(t)
	writes := []struct {
		tool cli.Tool
		args string
		at   []string
	}{
		{prunesnapshots.Tool(), "--file F --keep 1 --output DIR/out", []string{"out", ".out.ailee-tmp"}},
		{prunesnapshots.Tool(), "--force --file F --keep 1 --output DIR/out", []string{"out", ".out.ailee-tmp"}},
		{prunesnapshots.Tool(), "--file DIR/f --keep 1 --in-place", []string{".f.ailee-tmp", ".f.ailee-old-0-0", ".f.ailee-old-9-9"}},
		{extractsnapshots.Tool(), "F DIR", []string{"snapshot_1.dat", "snapshot_2.dat", ".ailee_extract-staging"}},
		{extractsnapshots.Tool(), "--force F DIR", []string{"snapshot_1.dat", "snapshot_2.dat", ".ailee_extract-staging"}},
		{extractsnapshots.Tool(), "--format json F DIR", []string{"snapshot_1.json", ".ailee_extract-staging"}},
		{extractsnapshots.Tool(), "F DIR/parts", []string{".parts.ailee-tmp"}},
		{recoversnapshots.Tool(), "DIR/f F DIR/out", []string{"out", ".out.ailee-tmp", ".f.ailee-old-9-9"}},
		{createanchor.Tool(), "--l2-state-file F --output DIR/out", []string{"out", ".out.ailee-tmp"}},
		{createanchor.Tool(), "--l2-state-file F --data-dir DIR", []string{".l2_snapshots.dat.ailee-tmp"}},
		{initreorgdb.Tool(), "--path DIR/reorg_db", []string{"reorg_db", ".reorg_db.ailee-tmp"}},
		{initreorgdb.Tool(), "--path DIR/reorg_db --if-missing", []string{".reorg_db.ailee-tmp"}},
		{initnode.Tool(), "--data-dir DIR", []string{"l2_snapshots.dat", "reorg_db", "backups", ".ailee_init_node-ready", "..ailee_init_node-ready.ailee-tmp"}},
		{initnode.Tool(), "--data-dir DIR/node", []string{".node.ailee-tmp"}},
		{initnode.Tool(), "--data-dir DIR --if-missing", []string{".ailee_init_node-ready", "..ailee_init_node-ready.ailee-tmp"}},
	}
	outcomes := map[int]int{}
	cases := 0
	for _, w := range writes {
		for _, at := range w.at {
			for _, kind := range slices.Sorted(maps.Keys(planted)) {
				if cases++; testing.Short() && cases%2 > 0 {
					continue // there are seven kinds: each is tried at every second name
				}
				plant, top := planted[kind], t.TempDir()
				dir, outside := filepath.Join(top, "dir"), filepath.Join(top, "outside")
				require.NoError(t, os.MkdirAll(filepath.Join(outside, "empty"), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(outside, "victim"), []byte(clitest.Numbered(76)+clitest.Numbered(77)), 0o600))
				require.NoError(t, os.Mkdir(dir, 0o755))
				for _, name := range []string{filepath.Join(top, "f"), filepath.Join(dir, "f")} {
					require.NoError(t, os.WriteFile(name, []byte(clitest.Numbered(1)+clitest.Numbered(2)+clitest.Numbered(3)), 0o644))
				}
				if os.Geteuid() == 0 {
					require.NoError(t, os.Chown(filepath.Join(dir, "f"), 65534, 65534))
				}
				require.NoError(t, plant(filepath.Join(dir, at), outside))
				before := tree(t, outside)
				args := strings.NewReplacer("DIR", dir, "F", filepath.Join(top, "f")).Replace(w.args)
				what := fmt.Sprintf("%s at %s: %s %s", kind, at, w.tool.Name, w.args)
				code, _, stderr := clitest.Run(w.tool, strings.Fields(args)...)
				require.Contains(t, []int{exit.OK, exit.Failed}, code, what)
				require.Equal(t, before, tree(t, outside), "%s\n%s", what, stderr)
				data, err := os.ReadFile(filepath.Join(dir, "f"))
				require.NoError(t, err)
				require.NotContains(t, string(data), "-77", "%s: the target of a link ends up in the file", what)
				if code == exit.Failed {
					require.Contains(t, stderr, "error: ", what)
				}
				outcomes[code]++
			}
		}
	}
	t.Logf("%d done, %d refused", outcomes[exit.OK], outcomes[exit.Failed])
}

// TestPlantedInANode is the same for tools that work on a whole data directory. Paths that the
// operator names, and the node's own files, may be links.
func TestPlantedInANode(t *testing.T) {
	node := nodeDir(t, 3)
	quiet(t, start, "ailee-backup", "--data-dir", node)
	memory := clitest.Memory()
	for args, at := range map[string][]string{
		"ailee-backup": {".backups.ailee-tmp", "backups/.ailee-backup.tmp", "backups/l2_snapshots_latest.dat.bak", "backups/ailee-catalogue.json", "backups/.ailee-catalogue.json.ailee-tmp",
			"backups/l2_snapshots_" + stampOf(start+9) + ".dat.bak", "backups/reorg_db_" + stampOf(start+9) + ".tar.gz"},
		"ailee-monitor --prometheus DIR/prom": {".ailee-monitor", "..ailee-monitor.ailee-tmp", "prom", ".prom.ailee-tmp"},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			outcomes := map[int]int{}
			for _, at := range at {
				for kind, plant := range planted {
					// Each takes most of a second.
					switch {
					case kind == "link" || clitest.Hostile():
					case testing.Short() || kind != "folder link" && kind != "pipe":
						continue
					}
					outcomes[plantedInANode(t, memory, node, args, kind, at, plant)]++
				}
			}
			t.Logf("%d done, %d refused, %d with findings", outcomes[exit.OK], outcomes[exit.Failed], outcomes[exit.Wrong])
		})
	}
}

func plantedInANode(t *testing.T, memory, node, args, kind, at string, plant func(path, outside string) error) (code int) {
	t.Helper()
	top, err := os.MkdirTemp(memory, "planted-")
	require.NoError(t, err)
	defer os.RemoveAll(top)
	dir, outside := filepath.Join(top, "dir"), filepath.Join(top, "outside")
	require.NoError(t, os.CopyFS(dir, os.DirFS(node)))
	if at == ".backups.ailee-tmp" {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "backups")))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(outside, "empty"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "victim"), []byte(clitest.Numbered(76)+clitest.Numbered(77)), 0o640))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, at)))
	require.NoError(t, plant(filepath.Join(dir, at), outside))
	before := tree(t, outside)
	fields := strings.Fields(strings.ReplaceAll(args, "DIR", dir))
	code, _, stderr := runAt(t, start+9, fields[0], append(fields[1:], "--data-dir", dir)...)
	what := fmt.Sprintf("%s at %s: %s\n%s", kind, at, args, stderr)
	require.Contains(t, []int{exit.OK, exit.Failed, exit.Wrong}, code, what)
	require.Equal(t, before, tree(t, outside), what)
	data, err := os.ReadFile(filepath.Join(dir, "l2_snapshots.dat"))
	require.NoError(t, err)
	require.NotContains(t, string(data), "-77", what)
	return code
}

// TestPlantedFolder: the new data directory does not contain what an attacker put into the
// temporary folder.
func TestPlantedFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make folders for another user")
	}
	dir := clitest.ForNobody(t)
	for _, owner := range []int{0, clitest.Nobody} {
		require.NoError(t, os.Chown(dir, owner, owner))
		name := fmt.Sprint("node", owner)
		node, planted := filepath.Join(dir, name), filepath.Join(dir, "."+name+".ailee-tmp")
		require.NoError(t, os.MkdirAll(filepath.Join(planted, "reorg_db"), 0o777))
		require.NoError(t, os.Chown(planted, owner, owner))
		require.NoError(t, exec.Command(initnode.Name, "--data-dir", node).Run())
		require.Equal(t, []string{"backups", "l2_snapshots.dat", "reorg_db"}, clitest.Names(t, node))
		info, err := os.Stat(node)
		require.NoError(t, err)
		require.Equal(t, os.ModeDir|0o750, info.Mode())
		require.EqualValues(t, owner, info.Sys().(*syscall.Stat_t).Uid)
	}
}

// TestNewFilesOfSomebodyElse: on a network file system, files that root creates may belong to
// another user. They are written all the same, even if a killed run left its own.
func TestNewFilesOfSomebodyElse(t *testing.T) {
	dir := clitest.ForNobody(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	path := filepath.Join(dir, "x")
	for name, write := range map[string]func() error{
		"file": func() error {
			f, err := durable.Create(path, 0o600)
			if err == nil {
				err = f.Close() // as if it were killed
			}
			return err
		},
		"folder": func() error {
			d, err := durable.CreateDir(path)
			if err == nil {
				err = d.Commit()
			}
			return errors.Join(err, os.Remove(path), os.Mkdir(filepath.Join(dir, ".x.ailee-tmp"), 0o700)) // as if it were killed
		},
		"staging": func() error {
			s, err := durable.Stage(dir, "y")
			if err == nil {
				err = s.Commit()
			}
			return err
		},
		"directory": func() error {
			_, err := durable.MakeAll(path, func(*os.File) error { return nil })
			return errors.Join(err, os.Remove(path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error)
			go func() {
				runtime.LockOSThread() // and never unlocks it: the thread ends with the function
				if err := unix.Setfsuid(clitest.Nobody); err != nil {
					done <- err
					return
				}
				done <- errors.Join(write(), write())
			}()
			require.NoError(t, <-done)
			require.NoError(t, os.RemoveAll(filepath.Join(dir, ".x.ailee-tmp")))
		})
	}
}

// TestOutputFolderThatIsALink: a link that the operator names is followed.
func TestOutputFolderThatIsALink(t *testing.T) {
	top := t.TempDir()
	f, dir, link := filepath.Join(top, "f"), filepath.Join(top, "dir"), filepath.Join(top, "link")
	require.NoError(t, os.WriteFile(f, []byte(clitest.Numbered(1)), 0o644))
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Symlink(dir, link))
	clitest.RunTool(t, exit.OK, extractsnapshots.Tool(), f, link)
	clitest.RunTool(t, exit.OK, prunesnapshots.Tool(), "--file", f, "--keep", "1", "--output", filepath.Join(link, "out"))
	require.Equal(t, []string{"out", "snapshot_1.dat"}, clitest.Names(t, dir))
}

// TestNoRegularFile: a pipe or device that has to be read twice is refused at once; others are
// read until they end or the operator interrupts.
func TestNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	pipe, out := filepath.Join(dir, "pipe"), filepath.Join(dir, "out")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	for _, f := range []string{pipe, "/dev/zero", "/dev/null"} {
		for _, args := range [][]string{
			{extractsnapshots.Name, f, out}, {prunesnapshots.Name, "--file", f, "--keep", "1", "--output", out}, {prunesnapshots.Name, "--file", f, "--keep", "1", "--in-place"},
			{recoversnapshots.Name, f, out}, {initreorgdb.Name, "--path", out, "--copy-from", f},
		} {
			code, _, stderr := clitest.Run(toolNamed(t, args[0]), args[1:]...)
			require.Equal(t, exit.Failed, code, args)
			require.Contains(t, stderr, "not a regular file", args)
		}
	}
	require.Equal(t, []string{"pipe"}, clitest.Names(t, dir))
	// RocksDB would wait forever, and a login is needed before the node can be asked anything.
	for _, name := range []string{"CURRENT", "LOCK", "IDENTITY", "MANIFEST-000099", "OPTIONS-000099", "000099.log", "000099.sst"} {
		db := golden.Database(t, "node-rocksdb-6.11.4")
		_ = os.Remove(filepath.Join(db, name))
		require.NoError(t, unix.Mkfifo(filepath.Join(db, name), 0o600))
		for _, args := range [][]string{
			{reorgverify.Name, "--db-path", db}, {reorgshow.Name, "--db-path", db, "anchors"}, {resyncblocks.Name, "--db-path", db, "--bitcoin-rpc", "http://127.0.0.1:1"},
			{initreorgdb.Name, "--path", db, "--if-missing"}, {initreorgdb.Name, "--path", filepath.Join(t.TempDir(), "copy"), "--copy-from", db},
		} {
			code, _, stderr := clitest.Run(toolNamed(t, args[0]), args[1:]...)
			if slices.Contains(args, "--copy-from") {
				require.Contains(t, []int{exit.OK, exit.Wrong}, code, "%s: %s", name, stderr)
				continue // the rest is copied
			}
			require.NotZero(t, code, "%s: %v", name, args)
			require.Contains(t, stderr, fmt.Sprintf("%q is not a regular file", name))
		}
	}
	db := golden.Database(t, "node-rocksdb-6.11.4")
	for _, f := range []string{pipe, "/dev/zero"} {
		code, _, stderr := clitest.Run(resyncblocks.Tool(), "--db-path", db, "--bitcoin-rpc", "http://127.0.0.1:1", "--rpc-wait", "1ms", "--rpc-cookie-file", f)
		require.Equal(t, exit.Failed, code)
		require.Contains(t, stderr, "error: "+f)
		t.Setenv("BITCOIN_RPC_USER", "u")
		t.Setenv("BITCOIN_RPC_PASSWORD_FILE", f)
		code, _, _ = clitest.Run(resyncblocks.Tool(), "--db-path", db, "--bitcoin-rpc", "http://127.0.0.1:1", "--rpc-wait", "1ms")
		require.Equal(t, exit.Failed, code)
	}
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	require.NoError(t, err)
	defer writer.Close()
	for _, f := range []string{pipe, "/dev/zero"} {
		for _, args := range [][]string{
			{l2verify.Name, "--snapshot", f}, {l2verify.Name, "--all", "--snapshot", f},
			{createanchor.Name, "--l2-state-file", f, "--output", out}, {getsnapshotblock.Name, f},
		} {
			interrupted(t, f, args...)
		}
	}
}

func toolNamed(t *testing.T, name string) cli.Tool {
	t.Helper()
	for _, command := range allTools() {
		if command.Name == name {
			return command
		}
	}
	require.Fail(t, "no such tool", name)
	return cli.Tool{}
}

// frugal returns a command that is killed after half a minute of processor time, which is the same
// on a busy machine as on an idle one.
func frugal(args ...string) *exec.Cmd {
	return exec.Command("sh", append([]string{"-c", `ulimit -t 30; exec "$@"`, "sh"}, args...)...)
}

// interrupted starts a command that would not end by itself, and interrupts it once it
// has opened the file.
func interrupted(t *testing.T, file string, args ...string) {
	t.Helper()
	var errs bytes.Buffer
	cmd := frugal(args...)
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	clitest.WaitFor(t, cmd, func() bool { return clitest.Opened(cmd.Process.Pid, file) })
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	require.Equal(t, syscall.SIGINT, signalOf(cmd.ProcessState), "%q: %s", args, errs.String())
	require.Contains(t, errs.String(), "error: interrupted", args)
}

// sparse makes a file of the given size with text at its start and end, and a hole in between.
func sparse(t *testing.T, size int64, start, end string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sparse.dat")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte(start), 0)
	require.NoError(t, err)
	if err := f.Truncate(size - int64(len(end))); err != nil {
		t.Skipf("no file of %d bytes here: %v", size, err)
	}
	_, err = f.WriteAt([]byte(end), size-int64(len(end)))
	require.NoError(t, err)
	return path
}

// TestTerabyte: commands that start at the end answer at once; all others end at once when they
// are interrupted.
func TestTerabyte(t *testing.T) {
	const size = 1 << 40
	path := sparse(t, size, clitest.Numbered(1), "\n"+clitest.Numbered(2))
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{
		{l2verify.Name, "--snapshot", path}, {prunesnapshots.Name, "--file", path, "--keep", "1", "--output", out}, {createanchor.Name, "--dry-run", "--output", out + ".a", "--l2-state-file", path},
		{showsnapshot.Name, "--id", "peer-0003-2", path}, {diffsnapshots.Name, path + "@latest", path + "@latest"},
	} {
		said, err := frugal(args...).CombinedOutput()
		require.NoError(t, err, "%q: %s", args, said)
	}
	require.Equal(t, []uint64{2}, clitest.Times(t, out))
	hole := sparse(t, size, clitest.Numbered(1), "")
	for _, args := range [][]string{
		{l2verify.Name, "--snapshot", hole}, {l2verify.Name, "--all", "--snapshot", path}, {l2verify.Name, "--strict", "--snapshot", path},
		{extractsnapshots.Name, hole, out + ".d"}, {extractsnapshots.Name, "--newest-valid", path, out + ".d"}, {prunesnapshots.Name, "--keep", "2", "--output", out + ".p", "--file", path},
		{prunesnapshots.Name, "--in-place", "--keep", "1", "--file", hole}, {createanchor.Name, "--l2-state-file", hole, "--output", out + ".a"}, {getsnapshotblock.Name, hole},
		{recoversnapshots.Name, hole, out + ".r"}, {showsnapshot.Name, hole}, {showsnapshot.Name, "--index", "2", path}, {diffsnapshots.Name, path, path},
	} {
		file := hole
		if slices.Contains(args, path) {
			file = path
		}
		interrupted(t, file, args...)
	}
	require.Equal(t, []string{"out"}, clitest.Names(t, filepath.Dir(out)))
}

// TestShrinksWhileItIsRead: if a file shrinks while it is read, the error says so, and there is no
// signal and no verdict. A file that is replaced is read to its end.
func TestShrinksWhileItIsRead(t *testing.T) {
	clitest.SkipUnderRace(t)
	clitest.InMemory(t)
	rounds := 1
	if clitest.Hostile() {
		rounds = 12
	}
	var big strings.Builder
	big.WriteString("SNAPSHOT v1\ntimestamp_ms 1\nbalances 300000\n")
	for i := range 300_000 {
		fmt.Fprintf(&big, "balance \"peer-%07d\" 5\n", i)
	}
	big.WriteString("END_SNAPSHOT\n")
	content := []byte(big.String() + clitest.Numbered(1) + big.String())
	commands := [][]string{
		{l2verify.Name, "--snapshot", "f"}, {l2verify.Name, "--all", "--snapshot", "f"}, {extractsnapshots.Name, "f", "d"}, {extractsnapshots.Name, "--format", "json", "f", "d"},
		{prunesnapshots.Name, "--file", "f", "--keep", "2", "--output", "o"}, {createanchor.Name, "--l2-state-file", "f", "--output", "o", "--timestamp-ms", "5"}, {getsnapshotblock.Name, "f"},
		{recoversnapshots.Name, "f", "o"}, {showsnapshot.Name, "--totals", "f"}, {diffsnapshots.Name, "f", "f"}, {diffsnapshots.Name, "f@1", "f@3"},
	}
	// ends returns the exit status of a command that ran in a folder, its output, and what it made.
	ends := func(cmd *exec.Cmd, dir string) string {
		all := tree(t, dir)
		for _, own := range []string{"", "/f", "/f.new", "/.f.ailee-pruned"} {
			delete(all, own)
		}
		return fmt.Sprintf("%d %s %s", cmd.ProcessState.ExitCode(), cmd.Stdout, all)
	}
	whole := map[string]string{} // how each ends undisturbed
	for _, args := range commands {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), content, 0o644))
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Stdout = dir, new(bytes.Buffer)
		_ = cmd.Run()
		whole[fmt.Sprint(args)] = ends(cmd, dir)
		require.NoError(t, os.RemoveAll(dir))
	}
	rng := rand.New(rand.NewSource(5))
	said := 0
	// On a busy machine a command may have read everything before its file shrinks.
	for round := 0; round < rounds || said == 0; round++ {
		for _, replace := range []bool{false, true} {
			for _, args := range commands {
				dir := t.TempDir()
				path := filepath.Join(dir, "f")
				require.NoError(t, os.WriteFile(path, content, 0o644))
				var errs bytes.Buffer
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Dir, cmd.Stdout, cmd.Stderr = dir, new(bytes.Buffer), &errs
				require.NoError(t, cmd.Start())
				clitest.WaitFor(t, cmd, func() bool { return clitest.Opened(cmd.Process.Pid, path) || clitest.Exited(cmd.Process.Pid) })
				// This chooses the moment of the change; it does not wait for something.
				time.Sleep(time.Duration(rng.Intn(30_000)) * time.Microsecond)
				if replace {
					require.NoError(t, os.WriteFile(path+".new", nil, 0o644))
					require.NoError(t, os.Rename(path+".new", path))
				} else {
					require.NoError(t, os.Truncate(path, int64(rng.Intn(len(content)))))
				}
				err := cmd.Wait()
				var ended *exec.ExitError
				require.True(t, err == nil || errors.As(err, &ended))
				code := cmd.ProcessState.ExitCode()
				what := fmt.Sprintf("%d %v %q: %d %s", round, replace, args, code, errs.String())
				require.Contains(t, []int{0, 1, 2}, code, what)
				shrunk := strings.Contains(errs.String(), "shorter while")
				if replace {
					require.Equal(t, whole[fmt.Sprint(args)], ends(cmd, dir), "it is read to its end: %s", what)
				}
				if shrunk {
					require.Equal(t, exit.Failed, code, what)
					said++
				}
				for _, name := range clitest.Names(t, dir) {
					require.False(t, strings.HasSuffix(name, ".ailee-tmp") || strings.HasPrefix(name, ".ailee"), what)
				}
				require.NoError(t, os.RemoveAll(dir))
			}
		}
	}
	t.Logf("%d said that it shrank", said)
}

// peak COMMAND... runs a command and writes its peak memory, in bytes, and its processor time, in
// nanoseconds, to descriptor 3. Until a new process executes its program, Linux counts the peak of
// its parent: that of the tests' own process may be above the bound.
func peak() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = cmd.Run()
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Fprintln(os.NewFile(3, "peak"), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss<<10, cpu.Nanoseconds())
	os.Exit(cmd.ProcessState.ExitCode())
}

// measured is what a run of a command used.
type measured struct {
	code      int
	stderr    string
	peak      int64 // bytes
	took, cpu time.Duration
}

// measure runs a command in an empty folder and measures it.
func measure(t *testing.T, args ...string) (m measured) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command("peak", args...)
	result, report, err := os.Pipe()
	require.NoError(t, err)
	defer result.Close()
	cmd.Dir, cmd.Stderr, cmd.ExtraFiles = t.TempDir(), &errs, []*os.File{report}
	began := time.Now()
	_ = cmd.Run()
	m.took = time.Since(began)
	require.NoError(t, report.Close())
	_, err = fmt.Fscan(result, &m.peak, &m.cpu)
	require.NoError(t, err)
	m.code, m.stderr = cmd.ProcessState.ExitCode(), errs.String()
	return m
}

// TestGiants: huge inputs do not take more memory than the bound. The sizes are a hundredth of
// those of make hostile, which sets AILEE_HOSTILE.
func TestGiants(t *testing.T) {
	clitest.SkipUnderRace(t)
	scale := 100_000
	line := int64(128 << 20)
	if clitest.Hostile() {
		scale, line = 10_000_000, 1<<30
	}
	if testing.Short() {
		scale = 10_000
	}
	repeat := func(t *testing.T, head, part, tail string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "f")
		f, err := os.Create(path)
		require.NoError(t, err)
		defer f.Close()
		_, err = io.WriteString(f, head)
		require.NoError(t, err)
		piece := strings.Repeat(part, 10_000)
		for range scale / 10_000 {
			_, err = io.WriteString(f, piece)
			require.NoError(t, err)
		}
		_, err = io.WriteString(f, tail)
		require.NoError(t, err)
		return path
	}
	const memory = 128 << 20
	run := func(t *testing.T, want int, message string, args ...string) {
		t.Helper()
		m := measure(t, args...)
		require.Equal(t, want, m.code, "%q: %s", args, m.stderr)
		require.Contains(t, m.stderr, message)
		t.Logf("%.2f s, %d MiB, exit %d: %s", m.took.Seconds(), m.peak>>20, want, strings.Join(args[:len(args)-1], " "))
		if !clitest.UnderRace {
			require.Less(t, m.peak, int64(memory), args)
		}
	}
	t.Run("snapshots", func(t *testing.T) {
		f := repeat(t, "", "SNAPSHOT v1\nEND_SNAPSHOT\n", "")
		run(t, 2, "No anchor", l2verify.Name, "--snapshot", f)
		run(t, 2, "no snapshot is valid", l2verify.Name, "--all", "--snapshot", f)
		run(t, 0, "", extractsnapshots.Name, "--dry-run", f, "d")
		run(t, 2, "no snapshot verifies", extractsnapshots.Name, "--newest-valid", f, "d")
		run(t, 0, "none of the snapshots kept verifies", prunesnapshots.Name, "--keep", "1", "--output", "o", "--file", f)
		run(t, 0, "none of the snapshots kept verifies", prunesnapshots.Name, "--keep", "all", "--output", "o", "--file", f)
		run(t, 1, "no source has a valid snapshot", recoversnapshots.Name, f, "o")
		run(t, 2, "no anchor", showsnapshot.Name, "--index", "9999", f)
		run(t, 0, "", diffsnapshots.Name, f, f)
	})
	t.Run("keys", func(t *testing.T) {
		head := "SNAPSHOT v1\ntimestamp_ms 1\nbalances 1\n"
		for _, part := range []string{"balance \"a\" 5\n", "balance \"b\" 5\nbalance \"a\" 5\n"} {
			f := repeat(t, head, part, "END_SNAPSHOT\n")
			sorts := func(want int, message string, args ...string) {
				t.Helper()
				if scale == 10_000_000 {
					want, message = 1, "sorting them takes"
				}
				run(t, want, message, append(args, f)...)
			}
			sorts(2, "repeat the key", l2verify.Name, "--snapshot")
			sorts(0, "", prunesnapshots.Name, "--keep", "1", "--output", "o", "--file")
			sorts(0, "repeat the key", createanchor.Name, "--output", "o", "--l2-state-file")
			sorts(2, "repeat the key", showsnapshot.Name, "--totals")
			run(t, 0, "", diffsnapshots.Name, f+"@1", f+"@1")
		}
	})
	t.Run("line", func(t *testing.T) {
		f := sparse(t, line, "SNAPSHOT v1\nbalance \"", "\" 5\nEND_SNAPSHOT\n")
		const message = "a line longer than the 2883584 bytes that the memory limit allows"
		run(t, 1, message, l2verify.Name, "--snapshot", f)
		run(t, 1, message, createanchor.Name, "--output", "o", "--l2-state-file", f)
		run(t, 1, message, getsnapshotblock.Name, f)
		run(t, 1, message, prunesnapshots.Name, "--keep", "1", "--output", "o", "--file", f)
		run(t, 1, message, recoversnapshots.Name, f, "o")
		run(t, 1, message, showsnapshot.Name, f)
		run(t, 1, message, diffsnapshots.Name, f+"@1", f)
		f = sparse(t, line, "SNAPSHOT v1\nunknown ", "\nEND_SNAPSHOT\n")
		run(t, 2, "No anchor", l2verify.Name, "--snapshot", f)
		f = sparse(t, line, "", "x")
		run(t, 1, "No snapshots found", l2verify.Name, "--snapshot", f)
	})
}
