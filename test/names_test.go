package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/diffsnapshots"
	"ailee-recovery/internal/command/drill"
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
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/command/showsnapshot"
	"ailee-recovery/internal/golden"
	"ailee-recovery/internal/multicall"
)

// hostileName has bytes that a terminal interprets, a second line, and bytes that are not text.
const hostileName = "x\nerror: \x1b[2J\x1b]0;pwned\a\r\b\x7f\u009b31m\xff"

// requirePrintable asserts that a stream has nothing that a terminal interprets except newlines,
// and that no line comes from the second line of a name.
func requirePrintable(t testing.TB, what, stream string) {
	t.Helper()
	require.True(t, utf8.ValidString(stream), "%s: %q", what, stream)
	for _, r := range stream {
		require.True(t, r == '\n' || r >= 0x20 && r != 0x7f && (r < 0x80 || r > 0x9f), "%s: %q", what, stream)
	}
	require.NotContains(t, "\n"+stream, "\nerror: ", what)
}

// everyPath returns, for each tool, command lines with each flag that takes a path, for a file f,
// a database db, an output out, and a folder dir.
func everyPath(f, db, out, dir string) map[string][][]string {
	const nobody = "http://127.0.0.1:1"
	return map[string][][]string{
		l2verify.Name: {{"--snapshot", f}, {"--all", "--strict", "--snapshot", f}, {"--snapshot", f, out},
			{"--snapshot", f, "--max-memory", out}, {"--snapshot", f, "--" + out}},
		showsnapshot.Name: {{f}, {"--section", "balances", f}, {"--section", "anchor", f}, {"--totals", f}, {"--id", "peer-0003-1", f}, {"--id", out, f}, {"--index", "1", f},
			{"--index", out, f}, {"--section", out, f}, {f, out}},
		diffsnapshots.Name: {{f, f}, {f + "@1", f + "@latest"}, {f + "@9", f}, {f, out}, {f + "@" + out, f}, {"--section", out, f, f}, {f, dir}},
		extractsnapshots.Name: {{"--dry-run", f, dir}, {f, dir}, {f, dir, out}, {"--format", "json", "--force", f, dir}, {"--salvage", "--newest-valid", f, out},
			{"--index", out, f, dir}, {"--format", out, f, dir}},
		prunesnapshots.Name: {{"--file", f, "--keep", "1", "--output", out}, {"--file", f, "--keep", "all", "--output", out}, {"--file", f, "--keep", "2", "--dry-run"},
			{"--file", f, "--keep", "2", "--in-place"}, {"--file", f, "--keep", out, "--in-place"}},
		recoversnapshots.Name: {{"--dry-run", f, out}, {f, f, out}, {f, out, f}, {"--max-unpacked", out, f, dir}, {f, filepath.Join(dir, "missing", "r"+hostileName)}},
		createanchor.Name: {{"--l2-state-file", f, "--output", filepath.Join(dir, "a"+hostileName)}, {"--l2-state-file", f, "--data-dir", dir},
			{"--l2-state-file", f, "--fee-rate", out}, {"--bump", out},
			{"--l2-state-file", f, "--data-dir", dir, "--bitcoin-rpc", nobody, "--rpc-wait", "0", "--rpc-cookie-file", out},
			{"--yes", "--broadcast", "--wallet", out, "--l2-state-file", f, "--data-dir", dir, "--db-path", db, "--bitcoin-rpc", nobody, "--rpc-wait", "0"}},
		initreorgdb.Name: {{"--path", db}, {"--path", db, "--if-missing"}, {"--path", filepath.Join(dir, "new"+hostileName), "--copy-from", db}, {"--path", f},
			{"--path", filepath.Join(dir, "merged"+hostileName), "--copy-from", db, "--copy-from", f}, {"--dry-run", "--path", filepath.Join(dir, "new"+hostileName), "--copy-from", db, "--copy-from", db}},
		reorgverify.Name: {{"--db-path", db}, {"--db-path", db, "--snapshot", f}, {"--db-path", f}, {"--db-path", db, "--bitcoin-rpc", nobody, "--rpc-wait", "0"},
			{"--db-path", db, "--bitcoin-rpc", out, "--rpc-wait", "0"}, {"--db-path", db, "--bitcoin-rpc", nobody, "--rpc-ca-cert", out}},
		reorgshow.Name: {{"--db-path", db, "anchors"}, {"--db-path", db, "anchor", "status9"}, {"--db-path", db, "anchor", out}, {"--db-path", db, "events", "--last", "3"},
			{"--db-path", db, "blocks", "0-18446744073709551615"}, {"--db-path", db, "families"}, {"--db-path", f, "anchors"}, {"--db-path", db, out}, {"--db-path", db, "blocks", out},
			{"--db-path", db, "anchors", "--status", out}},
		initnode.Name: {{"--data-dir", dir}, {"--data-dir", dir, "--if-missing"}, {"--data-dir", filepath.Join(dir, "node"+hostileName)}, {"--data-dir", f},
			{"--data-dir", out, "--owner", out}},
		getsnapshotblock.Name: {{f}, {"--db-path", db, f}, {"--bitcoin-rpc", nobody, "--rpc-wait", "0", f}},
		resyncblocks.Name: {{"--db-path", db, "--bitcoin-rpc", nobody, "--rpc-wait", "0"}, {"--db-path", f, "--bitcoin-rpc", nobody, "--rpc-wait", "0"},
			{"--check", "--db-path", db, "--bitcoin-rpc", nobody, "--rpc-wait", "0", "--rpc-cookie-file", out}},
		drill.Name: {{"--mode", "reorg", "--data-dir", f}, {"--mode", "reorg", "--data-dir", dir}, {"--mode", out}, {"--mode", "reorg", "--reorg-depth", out}},
		monitor.Name: {{"--data-dir", dir, "--state-file", out, "--prometheus", out}, {"--data-dir", f}, {"--data-dir", dir, "--backup-dir", out, "--prometheus", filepath.Join(dir, "missing", "p"+hostileName)},
			{"--data-dir", dir, "--state-file", f, "--unit", out}, {"--data-dir", dir, "--bitcoin-rpc", nobody, "--rpc-wait", "0"}, {"--max-growth", out}},
		multicall.Name: {{out}, {"--json", out}, {"--install-links", f}, {"--install-links", dir}, {"--install-links", filepath.Join(dir, "missing"+hostileName)}, {"--list", out}},
		restore.Name: {{"--data-dir", dir, "--snapshot-backup", f}, {"--data-dir", dir, "--db-backup", db}, {"--data-dir", dir, "--backup-dir", out}, {"--data-dir", out, "--snapshot-backup", f},
			{"--data-dir", dir, "--backup-dir", dir, "--force"}},
	}
}

func allTools() []cli.Tool { return append(multicall.Commands(), multicall.Tool()) }

// TestHostileNames: whatever files are called, and whatever is in them, the tools print nothing
// that a terminal interprets.
func TestHostileNames(t *testing.T) {
	clitest.SkipUnderRace(t)
	clitest.InMemory(t)
	contents := map[string]string{
		"sound":   clitest.Numbered(1) + clitest.Numbered(2),
		"wrong":   clitest.Numbered(1) + strings.Replace(clitest.Numbered(2), "peer-0003", "peer-\x1b[2J", 1),
		"torn":    clitest.Numbered(1) + clitest.Numbered(2)[:900],
		"hidden":  clitest.Numbered(1)[:900] + clitest.Numbered(2),
		"empty":   "",
		"missing": "",
		"folder":  "",
		"json":    `{"` + strings.Trim(fmt.Sprintf("%q", hostileName), `"`) + `": 1}`,
	}
	runs, cases := 0, 0
	for _, kind := range slices.Sorted(maps.Keys(contents)) {
		content := contents[kind]
		for _, command := range allTools() {
			for i := range everyPath("", "", "", "")[command.Name] {
				for _, more := range [][]string{nil, {"--json"}} {
					if cases++; testing.Short() && cases%3 > 0 {
						continue
					}
					dir := filepath.Join(t.TempDir(), hostileName)
					f, db, out := filepath.Join(dir, "f"+hostileName), filepath.Join(dir, "db"+hostileName), filepath.Join(dir, "o"+hostileName)
					require.NoError(t, os.MkdirAll(dir, 0o755))
					switch kind {
					case "missing":
					case "folder":
						require.NoError(t, os.Mkdir(f, 0o755))
						require.NoError(t, os.MkdirAll(filepath.Join(db, hostileName), 0o755))
					default:
						require.NoError(t, os.WriteFile(f, []byte(content), 0o644))
						require.NoError(t, golden.Unpack("node-odd-records", dir))
						require.NoError(t, os.Rename(filepath.Join(dir, "node-odd-records"), db))
						if kind == "wrong" {
							require.NoError(t, os.WriteFile(filepath.Join(db, "CURRENT"), []byte("MANIFEST-\x1b[2J\n"), 0o644))
						}
					}
					args := append(more, everyPath(f, db, out, dir)[command.Name][i]...)
					_, stdout, stderr := clitest.Run(command, args...)
					what := fmt.Sprintf("%s %s %q", kind, command.Name, args)
					requirePrintable(t, what, stdout)
					requirePrintable(t, what, stderr)
					runs++
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}

// TestHostileNamesOfANode: the same if the folders of a node have such names.
func TestHostileNamesOfANode(t *testing.T) {
	clitest.InMemory(t)
	dir := nodeDir(t, 2)
	hostile := filepath.Join(filepath.Dir(dir), hostileName)
	require.NoError(t, os.Rename(dir, hostile))
	backups := filepath.Join(filepath.Dir(dir), "b"+hostileName)
	require.NoError(t, os.Mkdir(backups, 0o700))
	gone := filepath.Join(t.TempDir(), hostileName)
	for _, args := range [][]string{
		{"ailee-backup", "--data-dir", hostile, "--backup-dir", backups},
		{"ailee-backup", "--data-dir", hostile, "--backup-dir", gone},
		{"ailee-backup", "--data-dir", gone, "--backup-dir", backups},
		{"ailee-backup", "--data-dir", gone, "--backup-dir", backups, "--dry-run"},
		{"ailee-monitor", "--data-dir", hostile, "--backup-dir", backups},
		{"ailee-monitor", "--data-dir", gone, "--backup-dir", gone},
		{"ailee-monitor", "--" + hostileName},
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			_, stdout, stderr := runAt(t, start, args[0], append(more, args[1:]...)...)
			what := fmt.Sprintf("%q", args)
			requirePrintable(t, what, stdout)
			requirePrintable(t, what, stderr)
			require.Equal(t, more != nil, json.Valid([]byte(stdout)), "%s: %s", what, stdout)
		}
	}
}
