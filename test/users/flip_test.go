// Package users tests the tools as root in a folder of another user, who does everything that a
// user can do there.
package users

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/golden"
	"ailee-recovery/snapshot"
)

// somebody is the user who owns the data directory.
const somebody = 12345

const flipperName = "flipper"

func TestMain(m *testing.M) {
	commands := map[string]func(){flipperName: flipper}
	for _, tool := range []cli.Tool{createanchor.Tool(), extractsnapshots.Tool(), initnode.Tool(), initreorgdb.Tool(), l2verify.Tool(), monitor.Tool(), prunesnapshots.Tool(), recoversnapshots.Tool(), resyncblocks.Tool(), restore.Tool()} {
		commands[tool.Name] = func() { cli.Main(tool) }
	}
	testscript.Main(m, commands)
}

// names has the names that tools write in the data directory, or create temporarily.
var names = []string{
	"l2_snapshots.dat", ".l2_snapshots.dat.ailee-tmp", ".l2_snapshots.dat.ailee-old-1-1", ".l2_snapshots.dat.ailee-pruned",
	"reorg_db", ".reorg_db.ailee-tmp", "old", "node", ".node.ailee-tmp", ".ailee_init_node-ready", "..ailee_init_node-ready.ailee-tmp",
	"out", ".out.ailee-tmp", "parts", ".parts.ailee-tmp", "parts/.ailee_extract-staging", ".ailee_extract-staging", "snapshot_1.dat",
	"reorg_db/000000.dbtmp", "reorg_db/CURRENT", "reorg_db/000100.sst", "reorg_db/LOCK", "reorg_db/MANIFEST-000099", "backups",
	".reorg_db.anchor-pending", "..reorg_db.anchor-pending.ailee-tmp",
	".l2_snapshots.dat.ailee-restore.tmp", ".reorg_db.ailee-restore.tmp", ".ailee-restore.json", "..ailee-restore.json.ailee-tmp",
	"node/reorg_db", ".ailee_init_node-ready/reorg_db", ".ailee_init_node-ready/backups", ".ailee-monitor", "..ailee-monitor.ailee-tmp",
}

// flipper DIR OUTSIDE FAVOURITE SEED changes names in the folder as fast as it can until it is
// killed, most of all the favourite name.
func flipper() {
	dir, outside, favourite := os.Args[1], os.Args[2], os.Args[3]
	seed, _ := strconv.ParseInt(os.Args[4], 10, 64)
	rng := rand.New(rand.NewSource(seed))
	_ = os.Chdir(dir)
	files, _ := filepath.Glob(filepath.Join(outside, "*"))
	targets := append(files, outside, filepath.Join(outside, "new"))
	aside := 0
	// The sleeps choose moments to begin and to continue; they do not wait for something. A tool
	// that met everything at once would give up before it has done much.
	time.Sleep(time.Duration(rng.Intn(150)) * time.Millisecond)
	for {
		if rng.Intn(20) == 0 {
			time.Sleep(time.Duration(rng.Intn(20)) * time.Millisecond)
		}
		name := favourite
		if rng.Intn(3) == 0 {
			name = names[rng.Intn(len(names))]
		}
		target := targets[rng.Intn(len(targets))]
		const link = ".flip"
		switch rng.Intn(12) {
		case 0:
			aside++
			_ = os.Rename(name, fmt.Sprintf(".aside-%d", aside))
			_ = os.Symlink(target, name)
		case 1:
			_ = os.Symlink(target, name)
		case 2:
			_ = os.Link(target, name)
		case 3:
			_ = os.Remove(name)
		case 4:
			_ = os.Mkdir(name, 0o777)
		case 5:
			_ = os.WriteFile(name, []byte("of somebody's"), 0o666)
		default:
			// There and back, to hit the moment between two checks of the tool.
			if os.Symlink(target, link) == nil {
				_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE)
				for range rng.Intn(2000) {
				}
				_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE)
				_ = os.RemoveAll(link)
			}
		}
	}
}

// snapshots returns the content of a snapshot file.
func snapshots(t *testing.T) []byte {
	t.Helper()
	var text bytes.Buffer
	for i := range 40 {
		st := snapshot.State{TimestampMs: uint64(1000 + i)}
		for j := range 50 {
			st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("peer-%04d", j), Balance: uint64(i)})
		}
		st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "m")
		require.NoError(t, snapshot.Encode(&text, &st))
	}
	return text.Bytes()
}

// all returns everything below a folder, with owners, modes and contents.
func all(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		text := fmt.Sprintf("%o %d:%d %d ", stat.Mode, stat.Uid, stat.Gid, stat.Nlink)
		if entry.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += string(data)
		}
		found[strings.TrimPrefix(path, dir)] = text
		return nil
	}))
	return found
}

func chownAll(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, somebody, somebody)
		}
		return err
	}))
}

// TestSomebodyElsesFolder: nothing outside the folder is written, created or given away, whatever
// its owner does meanwhile.
func TestSomebodyElsesFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can work in other users' folders")
	}
	tries := 1000
	if testing.Short() {
		tries = 60
	}
	rpc := bitcointest.NewChain(3000).Serve(t)
	node := bitcointest.StartNode(t, false)
	node.Generate(110)
	pay := " --quiet --yes --fee-rate 10 --rpc-wait 0s --data-dir DIR --bitcoin-rpc " + bitcointest.NewWallet(t, node, "").LoginURL()
	broadcast := createanchor.Name + pay + " --broadcast --l2-state-file TOP/state.dat"
	writes := []write{
		{favourite: ".reorg_db.anchor-pending", args: broadcast},
		{favourite: ".reorg_db.anchor-pending", args: createanchor.Name + pay + " --fee-rate 20 --bump ANCHOR", first: broadcast},
		{favourite: "reorg_db", args: resyncblocks.Name + " --quiet --start-height 0 --end-height HEIGHT --db-path DIR/reorg_db --bitcoin-rpc " + rpc},
		{favourite: ".reorg_db.ailee-tmp", args: initreorgdb.Name + " --quiet --path DIR/reorg_db"},
		{favourite: ".node.ailee-tmp", args: initreorgdb.Name + " --quiet --path DIR/node --copy-from DIR/old"},
		{favourite: ".ailee_init_node-ready", args: initnode.Name + " --quiet --if-missing --data-dir DIR"},
		{favourite: ".node.ailee-tmp", args: initnode.Name + " --quiet --data-dir DIR/node"},
		{favourite: "l2_snapshots.dat", args: createanchor.Name + " --quiet --l2-state-file TOP/state.dat --data-dir DIR"},
		{favourite: ".out.ailee-tmp", args: createanchor.Name + " --quiet --l2-state-file TOP/state.dat --output DIR/out"},
		{favourite: "l2_snapshots.dat", args: prunesnapshots.Name + " --quiet --in-place --watch 200ms --keep 3 --file DIR/l2_snapshots.dat"},
		{favourite: ".out.ailee-tmp", args: prunesnapshots.Name + " --quiet --force --keep 3 --file TOP/state.dat --output DIR/out"},
		{favourite: ".out.ailee-tmp", args: recoversnapshots.Name + " --quiet DIR/l2_snapshots.dat TOP/state.dat DIR/out"},
		{favourite: "parts", args: extractsnapshots.Name + " --quiet --force TOP/state.dat DIR/parts"},
		{favourite: ".parts.ailee-tmp", args: extractsnapshots.Name + " --quiet TOP/state.dat DIR/parts"},
		{favourite: ".reorg_db.ailee-restore.tmp", args: restore.Name + " --quiet --force --data-dir DIR --db-backup TOP/reorg_db.tar.gz"},
		{favourite: ".l2_snapshots.dat.ailee-restore.tmp", args: restore.Name + " --quiet --force --data-dir DIR --snapshot-backup TOP/state.dat --db-backup TOP/reorg_db.tar.gz"},
		{favourite: ".ailee-restore.json", args: restore.Name + " --quiet --force --data-dir DIR --snapshot-backup TOP/state.dat"},
		{favourite: ".ailee-monitor", args: monitor.Name + " --quiet --data-dir DIR"},
		{favourite: "..ailee-monitor.ailee-tmp", args: monitor.Name + " --quiet --data-dir DIR"},
		{favourite: ".out.ailee-tmp", args: monitor.Name + " --quiet --data-dir DIR --state-file DIR/parts/state --prometheus DIR/out"},
		{favourite: "out", args: l2verify.Name + " --quiet --snapshot TOP/state.dat --junit DIR/out"},
	}
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	for _, w := range writes {
		name, _, _ := strings.Cut(w.args, " ")
		t.Run(name+" "+w.favourite, func(t *testing.T) {
			codes := map[int]int{}
			for try := range max(1, tries/len(writes)) {
				node.Generate(1) // otherwise too many payments would wait for one another
				codes[w.try(t, try)]++
			}
			t.Logf("exit status: %v", codes)
		})
	}
}

// write is a command line that writes in the folder. favourite is the name that the flipper changes
// most; first is a command that is run before it, undisturbed.
type write struct{ favourite, args, first string }

func (w write) try(t *testing.T, try int) (code int) {
	t.Helper()
	args := w.args
	top, err := os.MkdirTemp("", "somebody-")
	require.NoError(t, err)
	defer os.RemoveAll(top)
	require.NoError(t, os.Chmod(top, 0o755))
	data, outside := filepath.Join(top, "data"), filepath.Join(top, "outside")
	text := snapshots(t)
	require.NoError(t, os.Mkdir(outside, 0o755))
	for i := range 4 {
		require.NoError(t, os.WriteFile(filepath.Join(outside, fmt.Sprint("secret", i)), []byte("of root's"), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(outside, "snapshots"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(top, "state.dat"), text, 0o600))
	require.NoError(t, os.Mkdir(data, 0o755))
	require.NoError(t, golden.Unpack("node-rocksdb-7.8.3-reopened", data))
	unpacked := filepath.Join(data, "node-rocksdb-7.8.3-reopened")
	if strings.HasPrefix(args, restore.Name) {
		require.NoError(t, os.Rename(unpacked, filepath.Join(data, "reorg_db")))
		require.NoError(t, exec.Command("tar", "-C", data, "-czf", filepath.Join(top, "reorg_db.tar.gz"), "reorg_db").Run())
		require.NoError(t, os.Chmod(filepath.Join(top, "reorg_db.tar.gz"), 0o600))
	} else if strings.Contains(args, "--copy-from") {
		require.NoError(t, os.Rename(unpacked, filepath.Join(data, "old")))
	} else if strings.HasPrefix(args, resyncblocks.Name) || strings.Contains(args, "--fee-rate") {
		require.NoError(t, os.RemoveAll(unpacked))
		require.NoError(t, exec.Command(initreorgdb.Name, "--path", filepath.Join(data, "reorg_db")).Run())
	} else {
		require.NoError(t, os.RemoveAll(unpacked))
	}
	if !strings.HasPrefix(args, initnode.Name) {
		require.NoError(t, os.WriteFile(filepath.Join(data, "l2_snapshots.dat"), text, 0o640))
	}
	replace := []string{"DIR", data, "TOP", top, "HEIGHT", fmt.Sprint(100 + try)}
	if w.first != "" {
		fields := strings.Fields(strings.NewReplacer(replace...).Replace(w.first))
		said, err := exec.Command(fields[0], append(fields[1:], "--json")...).Output()
		require.NoError(t, err, "%s", said)
		var done struct {
			AnchorHash string `json:"anchor_hash"`
		}
		require.NoError(t, json.Unmarshal(said, &done))
		replace = append(replace, "ANCHOR", done.AnchorHash)
	}
	chownAll(t, data)
	before := all(t, outside)
	present, err := os.ReadDir(top)
	require.NoError(t, err)

	somebodyElse := exec.Command(flipperName, data, outside, w.favourite, fmt.Sprint(try))
	somebodyElse.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: somebody, Gid: somebody}, Pdeathsig: syscall.SIGKILL}
	somebodyElse.Dir = "/"
	binary, err := exec.LookPath(flipperName)
	require.NoError(t, err)
	somebodyElse.Path = reachable(t, binary)
	require.NoError(t, somebodyElse.Start())
	fields := strings.Fields(strings.NewReplacer(replace...).Replace(args))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tool := exec.CommandContext(ctx, fields[0], fields[1:]...)
	said, _ := tool.CombinedOutput()
	require.NoError(t, ctx.Err(), "the tool hangs: %s", said)
	require.NoError(t, somebodyElse.Process.Kill())
	_ = somebodyElse.Wait()

	code = tool.ProcessState.ExitCode()
	require.Contains(t, []int{0, 1, 2}, code, "%s", said)
	require.Equal(t, before, all(t, outside), "try %d: %s\n%s", try, fields, said)
	made, err := os.ReadDir(top)
	require.NoError(t, err)
	require.Len(t, made, len(present))
	requireSomebodys(t, data)
	return code
}

// requireSomebodys asserts that everything in the folder belongs to the user.
func requireSomebodys(t *testing.T, data string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		require.NoError(t, unix.Lstat(path, &stat))
		require.EqualValues(t, somebody, stat.Uid, path)
		return nil
	}))
}

var reached string

// reachable returns a copy of a program that every user can run.
func reachable(t *testing.T, binary string) string {
	t.Helper()
	if reached == "" {
		dir, err := os.MkdirTemp("", "flipper-")
		require.NoError(t, err)
		require.NoError(t, os.Chmod(dir, 0o755))
		text, err := os.ReadFile(binary)
		require.NoError(t, err)
		reached = filepath.Join(dir, flipperName)
		require.NoError(t, os.WriteFile(reached, text, 0o755))
	}
	return reached
}
