package test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/durable"
)

// dryRun is a command line, with an obstacle to the run, if any.
type dryRun struct {
	name string
	args []string // $D is the data directory, $N a Bitcoin node
	// arrange creates the obstacle and returns a function that removes it.
	arrange func(t *testing.T, dir string) (clear func())
}

func dryRuns() []dryRun {
	nothing := func(*testing.T, string) func() { return func() {} }
	folder := func(name string) func(*testing.T, string) func() {
		return func(t *testing.T, dir string) func() {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
			return func() {}
		}
	}
	file := func(name string) func(*testing.T, string) func() {
		return func(t *testing.T, dir string) func() {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("occupied\n"), 0o644))
			return func() {}
		}
	}
	locked := func(name string) func(*testing.T, string) func() {
		return func(t *testing.T, dir string) func() {
			f, err := os.Open(filepath.Join(dir, name))
			require.NoError(t, err)
			require.NoError(t, durable.Lock(f))
			return func() { require.NoError(t, f.Close()) }
		}
	}
	linked := func(t *testing.T, dir string) func() {
		require.NoError(t, os.Link(filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "another")))
		return func() {}
	}
	node := func(t *testing.T, dir string) func() {
		stop, err := reorgtest.StartNode(filepath.Join(dir, "reorg_db"))
		require.NoError(t, err)
		return func() { require.NoError(t, stop()) }
	}
	damaged := func(t *testing.T, dir string) func() {
		require.NoError(t, os.Truncate(filepath.Join(dir, "reorg_db", "CURRENT"), 0))
		return func() {}
	}
	running := func(name string) func(*testing.T, string) func() {
		return func(t *testing.T, dir string) func() {
			pending, err := durable.Create(filepath.Join(dir, name), 0o600)
			require.NoError(t, err)
			return pending.Abort
		}
	}
	const f = "$D/l2_snapshots.dat"
	extract := func(dir string, more ...string) []string {
		return append(append([]string{extractsnapshots.Name}, more...), f, "$D/"+dir)
	}
	prune := func(more ...string) []string {
		return append([]string{prunesnapshots.Name, "--file", f, "--keep", "1"}, more...)
	}
	anchor := func(more ...string) []string {
		return append([]string{createanchor.Name, "--l2-state-file", f, "--timestamp-ms", "1735689600000"}, more...)
	}
	recovered := func(out string) []string { return []string{recoversnapshots.Name, f, "$D/" + out} }
	resync := func(more ...string) []string {
		return append([]string{resyncblocks.Name, "--db-path", "$D/reorg_db", "--bitcoin-rpc", "$N", "--rpc-wait", "0"}, more...)
	}
	copied := func(more ...string) []string {
		return append([]string{initreorgdb.Name, "--copy-from", "$D/reorg_db"}, more...)
	}
	backUp := func(to string) []string {
		return []string{backup.Name, "--data-dir", "$D", "--backup-dir", "$D/" + to}
	}
	return []dryRun{
		{"extract", extract("parts"), nothing},
		{"extract into a file", extract("parts"), file("parts")},
		{"extract below a file", extract("parts/deeper/still"), file("parts")},
		{"extract over a file", extract("parts"), file("parts/snapshot_2.dat")},
		{"extract over a file, by force", extract("parts", "--force"), file("parts/snapshot_2.dat")},
		{"extract during another run", extract("parts"), func(t *testing.T, dir string) func() {
			folder("parts/.ailee_extract-staging")(t, dir)
			return locked("parts/.ailee_extract-staging")(t, dir)
		}},
		{"prune", prune("--output", "$D/out"), nothing},
		{"prune into a missing folder", prune("--output", "$D/missing/out"), nothing},
		{"prune into a folder", prune("--output", "$D/out"), folder("out")},
		{"prune into a folder, by force", prune("--force", "--output", "$D/out"), folder("out")},
		{"prune over a file", prune("--output", "$D/out"), file("out")},
		{"prune over a file, by force", prune("--force", "--output", "$D/out"), file("out")},
		{"prune below a file", prune("--output", "$D/out/in"), file("out")},
		{"prune onto the file itself", prune("--force", "--output", f), nothing},
		{"prune during another run", prune("--output", "$D/out"), running("out")},
		{"prune in place", prune("--in-place"), nothing},
		{"prune in place during another run", prune("--in-place"), locked("l2_snapshots.dat")},
		{"prune a file with two names in place", prune("--in-place"), linked},
		{"recover", recovered("out"), nothing},
		{"recover into a missing folder", recovered("missing/out"), nothing},
		{"recover into a folder", recovered("out"), folder("out")},
		{"recover during another run", recovered("out"), running("out")},
		{"anchor", anchor("--data-dir", "$D"), nothing},
		{"anchor in a missing folder", anchor("--data-dir", "$D/missing"), nothing},
		{"anchor in a file", anchor("--data-dir", "$D/out"), file("out")},
		{"anchor in a folder without a file", anchor("--data-dir", "$D/new"), folder("new")},
		{"anchor onto a folder instead of a file", anchor("--data-dir", "$D/new"), folder("new/l2_snapshots.dat")},
		{"anchor while the file is pruned", anchor("--data-dir", "$D"), locked("l2_snapshots.dat")},
		{"anchor to an output", anchor("--output", "$D/out"), nothing},
		{"anchor to an existing output", anchor("--output", "$D/out"), file("out")},
		{"anchor to an output in a missing folder", anchor("--output", "$D/missing/out"), nothing},
		{"resync", resync(), nothing},
		{"resync while a node is running", resync(), node},
		{"resync of a damaged database", resync(), damaged},
		{"repair while a node is running", resync("--repair-heights"), node},
		{"repair of a damaged database", resync("--repair-heights"), damaged},
		{"copy", copied("--path", "$D/new"), nothing},
		{"copy into a file", copied("--path", "$D/new"), file("new")},
		{"copy into a folder that is not empty", copied("--path", "$D/new"), file("new/x")},
		{"copy into a missing folder", copied("--path", "$D/missing/new"), nothing},
		{"back up", backUp("backups"), nothing},
		{"back up into a file", backUp("out"), file("out")},
		{"back up into a missing folder", backUp("missing/backups"), nothing},
		{"back up during another run", backUp("backups"), func(t *testing.T, dir string) func() {
			folder("backups")(t, dir)
			return locked("backups")(t, dir)
		}},
		{"restore without backups", []string{restore.Name, "--data-dir", "$D", "--force"}, nothing},
		{"restore from what is not a backup", []string{restore.Name, "--data-dir", "$D", "--force", "--snapshot-backup", "$D/out"}, file("out")},
	}
}

// TestDryRuns: a dry run ends as the real run that follows it, with the same error, and changes
// nothing.
func TestDryRuns(t *testing.T) {
	clitest.InMemory(t)
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	covered := map[string]bool{}
	for _, d := range dryRuns() {
		covered[d.args[0]] = true
		t.Run(d.name, func(t *testing.T) {
			requireForeseen(t, d, clitest.NodeDir(t, 3), "", func(args ...string) (int, string, string) {
				at := slices.IndexFunc(allTools(), func(tool cli.Tool) bool { return tool.Name == args[0] })
				return clitest.Run(allTools()[at], args[1:]...)
			})
		})
	}
	for _, tool := range allTools() {
		has := slices.ContainsFunc(tool.Flags, func(f urfave.Flag) bool { return slices.Contains(f.Names(), "dry-run") })
		require.Equal(t, has, covered[tool.Name], "%s has --dry-run, or a row", tool.Name)
	}
}

// TestDryRunsWithoutRights: a dry run needs the rights that the real run needs. The call that
// is refused may differ.
func TestDryRunsWithoutRights(t *testing.T) {
	top := clitest.ForNobody(t)
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD", "p")
	t.Setenv(clitest.DocumentsDir, "") // nobody may not write there
	done := map[string]bool{}
	for _, d := range dryRuns() {
		// The first one of each command, with no other obstacle.
		if done[d.args[0]] && d.name != "prune in place" {
			continue
		}
		done[d.args[0]] = true
		t.Run(d.name, func(t *testing.T) {
			dir := filepath.Join(top, d.name)
			require.NoError(t, os.Rename(clitest.NodeDir(t, 3), dir))
			for path := range tree(t, dir) {
				info, err := os.Stat(filepath.Join(dir, path))
				require.NoError(t, err)
				mode := os.FileMode(0o444)
				if info.IsDir() {
					mode = 0o555
				}
				require.NoError(t, os.Chmod(filepath.Join(dir, path), mode))
			}
			require.NoError(t, os.Chmod(dir, 0o555))
			code := requireForeseen(t, d, dir, "hint: ", func(args ...string) (int, string, string) { return clitest.AsNobody(t, 0o022, args...) })
			require.NotZero(t, code)
		})
	}
}

// requireForeseen runs a command as a dry run and for real, compares the errors and hints that
// contain the text, and returns the exit code.
func requireForeseen(t *testing.T, d dryRun, dir, text string, run func(args ...string) (code int, stdout, stderr string)) int {
	t.Helper()
	node := httptest.NewServer(bitcointest.NewChain(1000))
	defer node.Close()
	clear := d.arrange(t, dir)
	defer clear()
	args := slices.Clone(d.args)
	for i := range args {
		args[i] = strings.NewReplacer("$D", dir, "$N", node.URL).Replace(args[i])
	}
	before := tree(t, dir)
	dryCode, dryOut, dryErr := run(slices.Insert(slices.Clone(args), 1, "--dry-run")...)
	if !strings.Contains(d.name, "while a node is running") { // the node writes
		require.Equal(t, before, tree(t, dir))
	}
	code, out, stderr := run(args...)
	require.Equal(t, code, dryCode, "dry run: %s%s\nreal run: %s%s", dryOut, dryErr, out, stderr)
	require.Equal(t, errorsIn(stderr, text), errorsIn(dryErr, text))
	return code
}

// errorsIn returns the errors and hints that a run reports, if they contain the text.
func errorsIn(stderr, text string) (found []string) {
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, text) && (strings.Contains(line, "error: ") || strings.Contains(line, "hint: ")) {
			found = append(found, line)
		}
	}
	return found
}
