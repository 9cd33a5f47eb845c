package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/clitest"
)

// drills are the command lines of the recovery guide, but for the folder.
var drills = map[string][]string{
	"crash":      {"--mode", "crash"},
	"reorg":      {"--mode", "reorg", "--reorg-depth", "3"},
	"corruption": {"--mode", "corruption"},
}

// TestDrills: each mode passes and leaves nothing behind, whatever the environment
// says of the node on this machine.
func TestDrills(t *testing.T) {
	t.Parallel()
	for mode, args := range drills {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			node, temporary := nodeDir(t, 1), t.TempDir()
			before := contents(t, node)
			cmd := command(0, "test_recovery.sh", args...)
			cmd.Env = append(cmd.Env, "AILEE_DATA_DIR="+node, "TMPDIR="+temporary)
			for _, name := range []string{"URL", "USER", "PASSWORD", "TIMEOUT"} {
				cmd.Env = append(cmd.Env, "BITCOIN_RPC_"+name+"=none")
			}
			code, stdout, stderr := runCommand(t, cmd)
			require.Zero(t, code, "%s%s", stdout, stderr)
			require.Empty(t, stderr)
			require.Regexp(t, `Drill passed: `+mode+`, [0-9]+ steps\n$`, stdout)
			require.Contains(t, stdout, "no bitcoind or btcd on PATH")
			require.NotContains(t, stdout, "FAILED")
			require.Empty(t, clitest.Names(t, temporary))
			require.Equal(t, before, contents(t, node))
		})
	}
}

// TestDrillWithBtcd reorganises a real chain.
func TestDrillWithBtcd(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	require.NoError(t, os.Symlink(bitcointest.Binary(t), filepath.Join(bin, "btcd")))
	stage := filepath.Join(t.TempDir(), "ailee_test")
	for _, depth := range []string{"1", "100"} {
		cmd := command(0, "test_recovery.sh", "--mode", "reorg", "--reorg-depth="+depth, "--data-dir", stage)
		cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
		code, stdout, stderr := runCommand(t, cmd)
		require.Zero(t, code, "%s%s", stdout, stderr)
		require.Contains(t, stdout, "btcd in regression test mode")
		require.Contains(t, stdout, "it has every block and "+depth+" reorg events")
	}
}

// TestDrillRefusesWhatItDidNotMake.
func TestDrillRefusesWhatItDidNotMake(t *testing.T) {
	t.Parallel()
	dir := nodeDir(t, 1)
	before := contents(t, dir)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(t.TempDir(), link))
	for path, says := range map[string]string{
		dir:                                    "holds what no drill of yours made",
		link:                                   "is not a directory",
		filepath.Join(dir, "l2_snapshots.dat"): "is not a directory",
	} {
		code, _, stderr := runScript(t, 0, "test_recovery.sh", "--mode", "crash", "--data-dir", path)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, says)
	}
	require.Equal(t, before, contents(t, dir))

	// What is put into the folder of a drill stays.
	stage := t.TempDir()
	drill := func() (int, string) {
		code, _, stderr := runScript(t, 0, "test_recovery.sh", "--mode", "corruption", "--corrupt-snapshot", "--data-dir", stage)
		return code, stderr
	}
	code, stderr := drill()
	require.Zero(t, code, stderr)
	code, stderr = drill()
	require.Zero(t, code, stderr)
	mine := filepath.Join(stage, "mine")
	for _, plant := range []func() error{
		func() error { return os.WriteFile(mine, nil, 0o600) },
		func() error { return os.Symlink(dir, filepath.Join(stage, "copy")) },
		func() error {
			return errors.Join(os.Remove(filepath.Join(stage, ".ailee_test_recovery")), os.Symlink(filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(stage, ".ailee_test_recovery")))
		},
	} {
		require.NoError(t, plant())
		planted := tree(t, stage)
		code, stderr = drill()
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "holds what no drill of yours made: "+stage)
		require.Equal(t, planted, tree(t, stage))
		_ = os.Remove(mine)
		_ = os.Remove(filepath.Join(stage, "copy"))
	}
	require.Equal(t, before, contents(t, dir))
}

// TestDrillTwice: a second drill in a folder is refused while one is at work there.
func TestDrillTwice(t *testing.T) {
	stage := t.TempDir()
	held, err := os.Open(stage)
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	code, _, stderr := runScript(t, 0, "test_recovery.sh", "--mode", "crash", "--data-dir", stage)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "another drill is at work in "+stage)
	require.Empty(t, clitest.Names(t, stage))
}

// emptyCopy is an ailee_init_reorg_db that loses all that it is to copy out of a damaged
// database, and says so by its exit status as a sound one does.
const emptyCopy = `case "$*" in
*--copy-from*corrupted*) shift; "$REAL/ailee_init_reorg_db" --quiet --path "$2"; exit 2 ;;
esac
exec "$REAL/ailee_init_reorg_db" "$@"`

// TestDrillsFailWhenSabotaged: a drill that passes with a tool that does nothing, or
// says yes to everything, would prove nothing.
func TestDrillsFailWhenSabotaged(t *testing.T) {
	t.Parallel()
	memory := clitest.Memory()
	real, err := exec.LookPath("ailee_init_reorg_db")
	require.NoError(t, err)
	used := map[string][]string{
		"crash": {"ailee_l2_verify", "ailee_init_node", "ailee_create_anchor", "ailee_prune_snapshots", "ailee_resync_blocks", "ailee_init_reorg_db", "ailee_reorg_verify"},
		"reorg": {"ailee_l2_verify", "ailee_resync_blocks", "ailee_reorg_verify", "ailee_drill_chain"},
		"corruption": {"ailee_l2_verify", "ailee_init_node", "ailee_extract_snapshots", "ailee_init_reorg_db", "ailee_reorg_verify",
			"ailee_resync_blocks"},
	}
	for mode, tools := range used {
		for i, name := range tools {
			ways := map[string]string{"does nothing": "exit 0", "says yes": "echo Verification OK."}
			if mode == "corruption" && name == "ailee_init_reorg_db" {
				ways["loses all"] = emptyCopy
			}
			for what, script := range ways {
				t.Run(fmt.Sprintf("%s/%s %s", mode, name, what), func(t *testing.T) {
					if testing.Short() && (what == "says yes" || i%3 > 0) {
						t.Skip("a sample is enough in short mode")
					}
					t.Parallel()
					bin := t.TempDir()
					require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
					stage, err := os.MkdirTemp(memory, "drill-")
					require.NoError(t, err)
					defer os.RemoveAll(stage)
					cmd := exec.Command(filepath.Join("..", "scripts", "test_recovery.sh"), append(slices.Clone(drills[mode]), "--data-dir", filepath.Join(stage, "drill"))...)
					cmd.Env = append(os.Environ(), "AILEE_BIN="+bin, "TMPDIR="+stage, "REAL="+filepath.Dir(real))
					code, stdout, stderr := runCommand(t, cmd)
					require.Equal(t, 2, code, "%s%s", stdout, stderr)
					require.Contains(t, stdout, "FAILED")
					require.True(t, strings.Contains(stdout, "Drill failed: "+mode))
					require.Contains(t, stderr, "test_recovery.sh: error: ")
				})
			}
		}
	}
}
