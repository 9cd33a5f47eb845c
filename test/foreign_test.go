package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/exit"
)

// foreign has ways to make a file in another format, f, from the snapshot file s.dat or its
// state state.json, the program that each needs, and what the tools call it.
var foreign = []struct{ name, program, make, what string }{
	{"gzip", "gzip", "gzip -c s.dat >f", "compressed with gzip"},
	{"zstd", "zstd", "zstd -qc s.dat >f", "compressed with zstd"},
	{"xz", "xz", "xz -c s.dat >f", "compressed with xz"},
	{"bzip2", "bzip2", "bzip2 -c s.dat >f", "compressed with bzip2"},
	{"tar", "tar", "tar -cf f s.dat", "a tar archive"},
	{"tar of a folder", "tar", "mkdir d; cp s.dat d; tar -cf f d", "a tar archive"},
	{"tar.gz", "tar", "tar -czf f s.dat", "a tar archive compressed with gzip"},
	{"tar.zst", "zstd", "tar -cf - s.dat | zstd -qc >f", "a tar archive compressed with zstd"},
	{"UTF-16", "iconv", "iconv -f UTF-8 -t UTF-16 s.dat >f", "text in UTF-16"},
	{"JSON", "sh", "cp state.json f", "JSON"},
	{"JSON.gz", "gzip", "gzip -c state.json >f", "JSON compressed with gzip"},
}

// foreignReaders has the commands that read a snapshot file, with their exit status for a file
// in another format.
var foreignReaders = []struct {
	name, command string
	code          int
	reads         string // the formats that it reads itself
}{
	{"ailee_l2_verify", "ailee_l2_verify --snapshot f", exit.Failed, ""},
	{"ailee_l2_verify --all", "ailee_l2_verify --all --snapshot f", exit.Failed, ""},
	{"ailee_get_snapshot_block", "ailee_get_snapshot_block f", exit.Failed, ""},
	{"ailee_extract_snapshots", "ailee_extract_snapshots f out", exit.Failed, ""},
	{"ailee_extract_snapshots --newest-valid", "ailee_extract_snapshots --newest-valid f out", exit.Failed, ""},
	{"ailee_prune_snapshots", "ailee_prune_snapshots --keep 1 --file f --output out", exit.Failed, ""},
	{"ailee_prune_snapshots --in-place", "ailee_prune_snapshots --keep 1 --in-place --watch 1ms --file f", exit.Failed, ""},
	{"ailee_recover_snapshots", "ailee_recover_snapshots f out", exit.Failed, "gzip, zstd, tar, tar of a folder, tar.gz, tar.zst"},
	{"ailee_create_anchor", "ailee_create_anchor --l2-state-file f --output out", exit.Failed, "JSON"},
	{"ailee_reorg_verify", "ailee_reorg_verify --db-path node/reorg_db --snapshot f", exit.Failed, ""},
	{"ailee_show_snapshot", "ailee_show_snapshot f", exit.Failed, ""},
	{"ailee_diff_snapshots", "ailee_diff_snapshots f f", exit.Failed, ""},
	{"ailee_init_node", "cp f node/l2_snapshots.dat; ailee_init_node --if-missing --data-dir node", exit.Wrong, ""},
}

// TestForeignFiles: each tool that reads a snapshot file, given a file in another format, says
// what it is, and the commands in its hint can be pasted and make a file that the tool reads.
func TestForeignFiles(t *testing.T) {
	clitest.InMemory(t)
	sound := t.TempDir()
	_, err := clitest.AppendAnchored(filepath.Join(sound, "s.dat"), 1739579402151, "btc_height=5")
	require.NoError(t, err)
	clitest.RunProcess(t, 0, "ailee_init_node", "--data-dir", filepath.Join(sound, "node"))
	clitest.RunProcess(t, 0, "ailee_extract_snapshots", "--format", "json", filepath.Join(sound, "s.dat"), sound)
	require.NoError(t, os.Rename(filepath.Join(sound, "snapshot_1.json"), filepath.Join(sound, "state.json")))
	for i, form := range foreign {
		if _, err := exec.LookPath(form.program); err != nil {
			continue
		}
		for j, reader := range foreignReaders {
			if testing.Short() && (i+j)%4 > 0 {
				continue // each format and each reader a few times
			}
			if strings.Contains(reader.reads+",", form.name+",") {
				continue
			}
			t.Run(form.name+"/"+reader.name, func(t *testing.T) {
				dir := t.TempDir()
				shell := func(want int, command string) (stdout, stderr string) {
					cmd := exec.Command("bash", "-o", "pipefail", "-euc", command)
					cmd.Dir = dir
					code, stdout, stderr := runCommand(t, cmd)
					require.Equal(t, want, code, "%s: %s%s", command, stdout, stderr)
					return stdout, stderr
				}
				require.NoError(t, os.CopyFS(dir, os.DirFS(sound)))
				shell(0, form.make)
				before := clitest.Read(t, filepath.Join(dir, "f"))
				stdout, stderr := shell(reader.code, reader.command)
				require.NotContains(t, stdout, "OK")
				if strings.HasPrefix(stderr, "ailee_recover_snapshots: error: f is compressed with ") {
					require.Contains(t, stderr, ", which is not supported\n") // it reads gzip
				} else {
					require.Contains(t, stderr, " is not a snapshot file: it is "+form.what+"\n")
				}
				require.Equal(t, before, clitest.Read(t, filepath.Join(dir, "f")))
				require.NoFileExists(t, filepath.Join(dir, "out"))

				hint := regexp.MustCompile(`hint: [^:]+: (.+)\n`).FindStringSubmatch(stderr)
				require.NotNil(t, hint, stderr)
				stdout, _ = shell(0, hint[1])
				made := regexp.MustCompile(`(?: > |--output )(UNPACKED|SNAPSHOTS)\b`).FindStringSubmatch(hint[1])
				switch {
				case strings.Contains(form.name, "folder"):
					require.Contains(t, stdout, "d/s.dat\n")
				case made == nil:
					require.Contains(t, hint[1], strings.Fields(reader.command)[0])
				case strings.Contains(reader.command, "reorg_verify"), made[1] == "SNAPSHOTS" && strings.Contains(reader.command, "snapshot_block"):
					// The anchor has no record, or names no block.
				case strings.Contains(reader.reads+",", strings.TrimSuffix(form.name, ".zst")+","):
					// This reader reads the file that is left.
				default:
					shell(0, "mv "+made[1]+" f; "+reader.command)
				}
			})
		}
	}
}

// typed runs a command line that must end with the given status, and returns what it prints.
func typed(t *testing.T, want int, command string) string {
	t.Helper()
	code, stdout, stderr := runCommand(t, exec.Command("bash", "-euc", command))
	require.Equal(t, want, code, "%s%s", stdout, stderr)
	return stdout + stderr
}

// TestForeignFilesOfBackups: backing up and restoring read packed files themselves, or name the
// command that does.
func TestForeignFilesOfBackups(t *testing.T) {
	t.Chdir(t.TempDir())
	typed(t, 0, "ailee_init_node --data-dir node; ailee_extract_snapshots --format json node/l2_snapshots.dat .; cp node/l2_snapshots.dat s.dat")
	for _, form := range foreign {
		if _, err := exec.LookPath(form.program); err != nil {
			continue
		}
		typed(t, 0, "mv snapshot_1.json state.json; "+form.make+"; mv state.json snapshot_1.json; cp f node/l2_snapshots.dat")
		said := typed(t, exit.Wrong, "ailee-backup --data-dir node --snapshot-only")
		require.Contains(t, said, "error: node/l2_snapshots.dat is not a snapshot file: it is "+form.what+"; it was not backed up, the earlier backups are kept\n")
		require.Contains(t, said, "hint: restore it: ailee-restore --snapshot-only --data-dir node\n")
		typed(t, 0, "cp s.dat node/l2_snapshots.dat; echo torn >>node/l2_snapshots.dat")
		switch form.name {
		case "gzip", "zstd", "tar", "tar of a folder", "tar.gz", "tar.zst":
			typed(t, 0, "ailee-restore --force --data-dir node --snapshot-backup f; cmp s.dat node/l2_snapshots.dat; rm -rf node/*.replaced_*")
		default:
			said = typed(t, exit.Wrong, "ailee-restore --force --data-dir node --snapshot-backup f")
			require.Contains(t, said, "ailee-restore: error: f is not a snapshot file: it is "+form.what+"\n")
			hint := regexp.MustCompile(`hint: [^:]+: (.+ (?:> |--output )(UNPACKED|SNAPSHOTS).*)\n`).FindStringSubmatch(said)
			require.NotNil(t, hint, said)
			typed(t, 0, hint[1]+"; ailee-restore --force --data-dir node --snapshot-backup "+hint[2]+"; rm -rf node/*.replaced_* "+hint[2])
		}
	}
}

// TestAppendedToForeign: if a node appended to a file in another format, the snapshots that it
// finds there count, but the format is reported. A prune refuses, since it would drop the rest.
func TestAppendedToForeign(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("s.dat", []byte(clitest.Numbered(1)), 0o644))
	typed(t, 0, "gzip s.dat; cp s.dat.gz f; echo >>f")
	f, err := os.OpenFile("f", os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(clitest.Numbered(2))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	for _, command := range []string{"ailee_l2_verify --snapshot f", "ailee_l2_verify --all --snapshot f"} {
		said := typed(t, 0, command)
		require.Contains(t, said, "warning: f is not a snapshot file: it is compressed with gzip\n")
		require.Contains(t, said, "hint: unpack it on the way: gzip -dc < f | ailee_l2_verify ")
	}
	before := clitest.Read(t, "f")
	require.Contains(t, typed(t, 1, "ailee_prune_snapshots --keep 1 --in-place --watch 1ms --file f"), "and its content would be dropped\n")
	require.Equal(t, before, clitest.Read(t, "f"))

	// What can be salvaged from an archive is salvaged.
	said := typed(t, 2, "zcat s.dat.gz >s.dat; tar -cf x.tar s.dat; ailee_recover_snapshots x.tar out")
	require.Contains(t, said, "x.tar: 1 snapshot(s) taken")
	require.Contains(t, said, "warning: x.tar is not a snapshot file: it is a tar archive\nailee_recover_snapshots: hint: unpack it first: tar -xOf - -- s.dat < x.tar > UNPACKED\n")

	// The same from a pipe, and from standard input.
	require.Contains(t, typed(t, 1, "cat s.dat.gz | ailee_l2_verify --snapshot -"),
		"error: standard input is not a snapshot file: it is compressed with gzip\nailee_l2_verify: hint: unpack it on the way: gzip -dc < FILE | ailee_l2_verify --snapshot -\n")
	require.Contains(t, typed(t, 1, "ailee_l2_verify --snapshot - <s.dat.gz"), "it is compressed with gzip\n")
	require.Contains(t, typed(t, 1, "ailee_l2_verify --json --snapshot <(cat s.dat.gz)"), `it is compressed with gzip"`)
}
