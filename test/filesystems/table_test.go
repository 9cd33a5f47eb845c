// Package filesystems tests all tools that write on all file systems that can be mounted.
package filesystems

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/snapshot"
)

func TestMain(m *testing.M) {
	commands := map[string]func(){failingName: failing}
	for _, tool := range []cli.Tool{createanchor.Tool(), extractsnapshots.Tool(), initnode.Tool(), initreorgdb.Tool(), l2verify.Tool(),
		prunesnapshots.Tool(), recoversnapshots.Tool(), reorgverify.Tool(), resyncblocks.Tool(), restore.Tool(), backup.Tool()} {
		commands[tool.Name] = func() { cli.Main(tool) }
	}
	testscript.Main(m, commands)
}

// uses are the ways to write, in order: each finds what the ones before it made. DIR is on the file
// system under test, TOP on the machine's own.
var uses = []struct{ name, args string }{
	{"a new node", initnode.Name + " --data-dir DIR/node"},
	{"a snapshot appended", createanchor.Name + " --l2-state-file TOP/state.dat --data-dir DIR/node"},
	{"a snapshot in a new file", createanchor.Name + " --l2-state-file TOP/state.dat --output DIR/anchored.dat"},
	{"pruned to another file", prunesnapshots.Name + " --keep 1 --file TOP/state.dat --output DIR/pruned.dat"},
	{"the same, replaced", prunesnapshots.Name + " --force --keep 1 --file DIR/anchored.dat --output DIR/pruned.dat"},
	{"pruned in place", prunesnapshots.Name + " --keep 1 --in-place --file DIR/state.dat"},
	{"recovered", recoversnapshots.Name + " DIR/state.dat TOP/packed.gz DIR/recovered.dat"},
	{"extracted", extractsnapshots.Name + " DIR/state.dat DIR/parts"},
	{"a JUnit report", l2verify.Name + " --accept-earlier-anchors --snapshot DIR/state.dat --junit DIR/report.xml"},
	{"a new database", initreorgdb.Name + " --path DIR/reorg_db"},
	{"blocks", resyncblocks.Name + " --start-height 0 --end-height 100 --db-path DIR/reorg_db --bitcoin-rpc RPC"},
	{"a copied database", initreorgdb.Name + " --path DIR/copy --copy-from DIR/reorg_db"},
	{"backed up", "ailee-backup --data-dir DIR/node --backup-dir DIR/backups"},
	{"restored", restore.Name + " --force --data-dir DIR/node --backup-dir DIR/backups"},
}

// filesystems has the file systems to test, by their names in the table. mount mounts one on a
// folder, or skips the test if it cannot.
var filesystems = []struct {
	name  string
	mount func(t *testing.T, at string)
}{
	{"ext4", onLoop("mkfs.ext4", "-qF")},
	{"XFS", onLoop("mkfs.xfs", "-qf")},
	{"Btrfs", onLoop("mkfs.btrfs", "-qf")},
	{"tmpfs", func(t *testing.T, at string) { mount(t, "tmpfs", at, "tmpfs", "") }},
	{"overlayfs", overlay},
	{"bindfs", bindfs},
	{"fuse2fs", fuse2fs},
	{"without flags of renameat2", without("rename flags", unix.EINVAL)},
	{"without these and links", without("rename flags", unix.EINVAL, "link", unix.EPERM)},
	{"without fsync of folders", without("fsync of a folder", unix.EINVAL)},
	{"without owners", without("chown", unix.EPERM)},
	{"without modes", without("chmod", unix.ENOTSUP)},
	{"without access lists and attributes", without("setxattr", unix.ENOTSUP)},
	{"copy_file_range answers EIO", without("copy_file_range", unix.EIO)},
	{"copy_file_range answers 0", without("copy_file_range", syscall.Errno(0))},
	{"fsync answers EIO", without("fsync", unix.EIO)},
}

func mount(t *testing.T, source, at, kind, options string) {
	t.Helper()
	if err := unix.Mount(source, at, kind, 0, options); err != nil {
		t.Skipf("no mount of %s: %v", kind, err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(at, 0)) })
}

// tool runs a program for mounting, or skips the test if it fails.
func tool(t *testing.T, args ...string) {
	t.Helper()
	if said, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%v: %v: %s", args, err, said)
	}
}

func image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, 400<<20))
	return path
}

func onLoop(mkfs ...string) func(t *testing.T, at string) {
	return func(t *testing.T, at string) {
		disk := image(t)
		tool(t, append(mkfs, disk)...)
		tool(t, "mount", "-o", "loop", disk, at)
		t.Cleanup(func() { require.NoError(t, unix.Unmount(at, 0)) })
	}
}

func overlay(t *testing.T, at string) {
	base := t.TempDir()
	mount(t, "tmpfs", base, "tmpfs", "")
	for _, name := range []string{"lower", "upper", "work"} {
		require.NoError(t, os.Mkdir(filepath.Join(base, name), 0o755))
	}
	mount(t, "overlay", at, "overlay", fmt.Sprintf("lowerdir=%s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base))
}

func bindfs(t *testing.T, at string) {
	tool(t, "bindfs", t.TempDir(), at)
	t.Cleanup(func() { require.NoError(t, unix.Unmount(at, 0)) })
}

func fuse2fs(t *testing.T, at string) {
	disk := image(t)
	tool(t, "mkfs.ext4", "-qF", disk)
	tool(t, "fuse2fs", "-o", "fakeroot,allow_other", disk, at)
	t.Cleanup(func() { require.NoError(t, unix.Unmount(at, 0)) })
}

// without mounts a file system in which some calls always fail.
func without(calls ...any) func(t *testing.T, at string) {
	return func(t *testing.T, at string) {
		lower := t.TempDir()
		for i := 0; i < len(calls); i += 2 {
			above := at
			if i+2 < len(calls) {
				above = t.TempDir()
			}
			serve(t, lower, above, calls[i].(string), calls[i+1].(syscall.Errno))
			lower = above
		}
	}
}

func serve(t *testing.T, lower, at, call string, errno syscall.Errno) {
	t.Helper()
	cmd := exec.Command(failingName, lower, at, call, fmt.Sprint(int(errno)))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	said, _ := bufio.NewReader(out).ReadString('\n')
	if said != "mounted\n" {
		_ = cmd.Wait()
		t.Skipf("no FUSE: %s", errs.String())
	}
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait())
	})
}

// The outcomes in the table.
const (
	done    = "yes"
	warned  = "yes, with a warning"
	refused = "refused"
)

// TestFileSystems: a job is done, or refused in one line with a hint, leaving nothing behind. The
// table in docs/compatibility.md has the results.
func TestFileSystems(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount file systems")
	}
	scripts, err := filepath.Abs("../../scripts")
	require.NoError(t, err)
	t.Setenv("PATH", os.Getenv("PATH")+":"+scripts)
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	rpc := bitcointest.NewChain(3000).Serve(t)
	table := documented(t)
	for _, f := range filesystems {
		t.Run(f.name, func(t *testing.T) {
			at, top := t.TempDir(), t.TempDir()
			require.NoError(t, os.Chmod(filepath.Dir(at), 0o755)) // the owner of the data must be able to reach it
			f.mount(t, at)
			row := []string{f.name}
			for _, file := range []string{filepath.Join(top, "state.dat"), filepath.Join(at, "state.dat")} {
				require.NoError(t, os.WriteFile(file, snapshots(t), 0o640))
			}
			require.NoError(t, exec.Command("sh", "-c", "gzip -c "+filepath.Join(top, "state.dat")+" > "+filepath.Join(top, "packed.gz")).Run())
			require.NoError(t, os.Chown(filepath.Join(top, "state.dat"), 12345, 12345))
			_ = unix.Setxattr(filepath.Join(top, "state.dat"), "user.origin", []byte("node-7"), 0)
			require.NoError(t, os.Mkdir(filepath.Join(at, "backups"), 0o755))
			for _, use := range uses {
				if strings.Contains(use.args, "--in-place") && isFUSE(t, at) {
					said, err := exec.Command(prunesnapshots.Name, "--keep", "1", "--in-place", "--file", filepath.Join(at, "state.dat")).CombinedOutput()
					require.Error(t, err)
					require.Equal(t, prunesnapshots.Name+": error: "+filepath.Join(at, "state.dat")+" is on a FUSE file system, where there is no telling whether a node has it open\n"+
						prunesnapshots.Name+": hint: stop the node, and prune with --output\n", string(said))
					row = append(row, "no")
					continue
				}
				row = append(row, try(t, at, strings.NewReplacer("DIR", at, "TOP", top, "RPC", rpc).Replace(use.args)))
			}
			line := "| " + strings.Join(row, " | ") + " |"
			require.Contains(t, table, line)
		})
	}
}

// isFUSE reports whether files in a folder may be written without the kernel's knowledge: leases
// mean nothing there.
func isFUSE(t *testing.T, at string) bool {
	t.Helper()
	var stat unix.Statfs_t
	require.NoError(t, unix.Statfs(at, &stat))
	return stat.Type == unix.FUSE_SUPER_MAGIC
}

// try runs a tool and returns the outcome.
func try(t *testing.T, dir, args string) string {
	t.Helper()
	before := names(t, dir)
	var errs bytes.Buffer
	fields := strings.Fields(args)
	cmd := exec.Command(fields[0], fields[1:]...)
	cmd.Stderr = &errs
	_ = cmd.Run()
	said := strings.Split(strings.TrimSuffix(errs.String(), "\n"), "\n")
	t.Logf("%d: %s\n%s", cmd.ProcessState.ExitCode(), args, errs.String())
	switch code := cmd.ProcessState.ExitCode(); {
	case code == 0 && errs.Len() == 0:
		return done
	case code == 0:
		for _, line := range said {
			require.Contains(t, line, ": warning: ")
		}
		return warned
	default:
		require.Equal(t, 1, code)
		require.Contains(t, said[0], ": error: ")
		require.Contains(t, said[len(said)-1], ": hint: ")
		require.Equal(t, before, names(t, dir), "something is left behind: %s", args)
		return refused
	}
}

func names(t *testing.T, dir string) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, path)
		return err
	}))
	return found
}

func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/compatibility.md")
	require.NoError(t, err)
	return strings.Split(string(text), "\n")
}

// snapshots returns the content of a snapshot file.
func snapshots(t *testing.T) []byte {
	t.Helper()
	var text bytes.Buffer
	for i := range 3 {
		st := snapshot.State{TimestampMs: uint64(1000 + i)}
		for j := range 2000 {
			st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("peer-%04d", j), Balance: uint64(i)})
		}
		st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
		require.NoError(t, snapshot.Encode(&text, &st))
	}
	return text.Bytes()
}
