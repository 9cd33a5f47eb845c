package drill_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/exit"
)

// drills are the command lines of the recovery guide, without the folder.
var drills = map[string][]string{
	"crash":      {"--mode", "crash"},
	"reorg":      {"--mode", "reorg", "--reorg-depth", "3"},
	"corruption": {"--mode", "corruption"},
}

// TestDrills: each mode passes and leaves nothing behind, whatever the environment says about
// the node on this machine.
func TestDrills(t *testing.T) {
	t.Parallel()
	for mode, args := range drills {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			node := t.TempDir()
			m := newMachine(t, "AILEE_DATA_DIR="+node, "AILEE_BACKUP_DIR="+node, "AILEE_DB_PATH="+node)
			for _, name := range []string{"URL", "USER", "PASSWORD", "PASSWORD_FILE", "TIMEOUT"} {
				m.env = append(m.env, "BITCOIN_RPC_"+name+"=none")
			}
			stdout := m.passes(t, args...)
			require.Regexp(t, `(^|\n)Drill passed: `+mode+`, [0-9]+ steps\n`, stdout)
			require.Contains(t, stdout, "chain   no bitcoind or btcd on PATH: a made-up chain\n")
			require.Empty(t, clitest.Names(t, m.temporary))
			require.Empty(t, clitest.Names(t, node))
		})
	}
}

// TestByTheNameOfTheGuide: the script of the recovery guide is this command.
func TestByTheNameOfTheGuide(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for _, args := range [][]string{{"--version"}, {"--help"}, {"--mode", "reorg", "--reorg-depth", "3"}, {"--no-such-flag"}} {
		code, stdout, stderr := run(t, m.command(args...))
		cmd := m.command(args...)
		cmd.Path = filepath.Join(scripts, "test_recovery.sh")
		scriptCode, scriptOut, scriptErr := run(t, cmd)
		require.Equal(t, []any{code, stdout, stderr}, []any{scriptCode, scriptOut, scriptErr})
	}
	// In a folder without ailee-drill.
	cmd := m.command("--mode", "crash")
	cmd.Path = filepath.Join(t.TempDir(), "test_recovery.sh")
	require.NoError(t, os.WriteFile(cmd.Path, []byte(clitest.Read(t, filepath.Join(scripts, "test_recovery.sh"))), 0o700))
	cmd.Env = append(cmd.Env, "PATH=/usr/bin:/bin")
	code, _, stderr := run(t, cmd)
	require.Equal(t, exit.Failed, code)
	require.Equal(t, "test_recovery.sh: error: ailee-drill is missing\ntest_recovery.sh: hint: install it, or set AILEE_BIN to the folder of the ailee tools\n", stderr)
	// Next to the program that is all tools, without links.
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(cmd.Path), "ailee"), []byte("#!/bin/sh\necho \"$@\"\n"), 0o700))
	again := m.command("--mode", "crash")
	again.Path, again.Env = cmd.Path, cmd.Env
	code, stdout, _ := run(t, again)
	require.Zero(t, code)
	require.Equal(t, "ailee-drill --mode crash\n", stdout)
}

// TestWithBtcd reorganises a real chain, repeatedly in the same folder.
func TestWithBtcd(t *testing.T) {
	t.Parallel()
	m := newMachine(t, withBtcd(t))
	stage := filepath.Join(m.temporary, "ailee_test")
	depths := []string{"100", "1"}
	if testing.Short() {
		depths = depths[:1]
	}
	for _, depth := range depths {
		stdout := m.passes(t, "--mode", "reorg", "--reorg-depth="+depth, "--data-dir", stage)
		require.Contains(t, stdout, "chain   btcd in regression test mode\n")
		require.Contains(t, stdout, "it has every block and "+depth+" reorg events")
	}
	require.Empty(t, processesIn(t, m.temporary))
}

// TestWithBitcoind: the drill waits for a node that is still loading, and replaced blocks are not
// mined again.
func TestWithBitcoind(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--mode", "reorg", "--reorg-depth=100"}, {"--mode", "corruption", "--corrupt-db"}} {
		t.Run(args[1], func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, withBitcoind(t))
			stdout := m.passes(t, args...)
			require.Contains(t, stdout, "chain   bitcoind in regression test mode\n")
			require.Empty(t, clitest.Names(t, m.temporary))
			require.Empty(t, processesIn(t, m.temporary))
		})
	}
}

// TestNodeThatDoesNotStart: the drill runs without a node that does not start.
func TestNodeThatDoesNotStart(t *testing.T) {
	t.Parallel()
	m := newMachine(t, withProgram(t, "bitcoind", "/bin/false"))
	code, stdout, stderr := run(t, m.command("--mode", "reorg"))
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "\nchain   a made-up chain\n")
	require.Regexp(t, `^ailee-drill: warning: bitcoind does not start: it has ended, see /.*/output\n$`, stderr)
}

// processesIn returns the command lines of processes that have a path below a folder among their
// arguments.
func processesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, line := range lines {
		text, _ := os.ReadFile(line) // empty if the process has ended
		if strings.Contains(string(text), dir) {
			found = append(found, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

// TestEnded: an interrupted drill leaves nothing behind, and a killed one only what the next drill
// removes. No Bitcoin node keeps running.
func TestEnded(t *testing.T) {
	t.Parallel()
	m := newMachine(t, withBtcd(t))
	// ended starts a drill and ends it in the middle.
	ended := func(signal os.Signal) (by os.Signal, stderr string) {
		cmd := m.command("--mode", "reorg")
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "ok      mine ") {
		}
		require.NotEmpty(t, processesIn(t, filepath.Join(m.temporary, "ailee-drill-")))
		require.NoError(t, cmd.Process.Signal(signal))
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		return cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), errs.String()
	}
	signals := []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}
	if testing.Short() {
		signals = signals[:1]
	}
	for _, signal := range signals {
		by, stderr := ended(signal)
		require.Equal(t, signal, by)
		require.Equal(t, "ailee-drill: error: interrupted\nailee-drill: hint: nothing that existed was changed\n", stderr)
		require.Empty(t, clitest.Names(t, m.temporary))
		require.Empty(t, processesIn(t, m.temporary))
	}
	_, _ = ended(syscall.SIGKILL)
	for len(processesIn(t, m.temporary)) > 0 { // the kernel is about to end them
		time.Sleep(time.Millisecond)
	}
	require.Len(t, clitest.Names(t, m.temporary), 1)
	others := filepath.Join(m.temporary, "ailee-drill-of-another-user")
	require.NoError(t, os.Mkdir(others, 0o700))
	m.passes(t, "--mode", "reorg")
	require.Equal(t, []string{filepath.Base(others)}, clitest.Names(t, m.temporary))
}

// TestRefusesWhatItDidNotMake: a drill refuses folders and files that no drill made.
func TestRefusesWhatItDidNotMake(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	node := filepath.Join(m.temporary, "node")
	clitest.RunProcess(t, exit.OK, initnode.Name, "--data-dir", node)
	before := contents(t, node)
	link, dangling := filepath.Join(m.temporary, "link"), filepath.Join(m.temporary, "dangling")
	require.NoError(t, os.Symlink(node, link))
	require.NoError(t, os.Symlink(filepath.Join(m.temporary, "missing"), dangling))
	refused := func(dir, says string) {
		t.Helper()
		code, stdout, stderr := run(t, m.command("--mode", "crash", "--data-dir", dir))
		require.Equal(t, exit.Failed, code, "%s%s", stdout, stderr)
		require.Contains(t, stderr, "ailee-drill: error: ")
		require.Contains(t, stderr, says)
	}
	refused(node, node+" contains something that none of your drills made: "+filepath.Join(node, "backups"))
	for _, path := range []string{link, link + "/", dangling, filepath.Join(node, "l2_snapshots.dat")} {
		refused(path, "is not a directory")
	}
	refused(filepath.Join(node, "l2_snapshots.dat", "deeper"), "not a directory")
	require.Equal(t, before, contents(t, node))

	// What a killed drill leaves is taken over, files that others put into the folder stay.
	stage := filepath.Join(m.temporary, "new", "stage")
	m.passes(t, "--mode", "reorg", "--data-dir", stage)
	for _, name := range []string{"copy", ".copy.ailee-tmp", ".extracted.ailee-tmp"} {
		require.NoError(t, os.Mkdir(filepath.Join(stage, name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(stage, name, "file"), nil, 0o600))
	}
	m.passes(t, "--mode", "reorg", "--data-dir", stage)
	plant := func(name string, make func(path string) error) {
		path := filepath.Join(stage, name)
		_ = os.Remove(path)
		require.NoError(t, make(path))
		planted := contents(t, stage)
		refused(stage, stage+" contains something that none of your drills made: "+path)
		require.Equal(t, planted, contents(t, stage))
		require.NoError(t, os.Remove(path))
	}
	linkTo := func(target string) func(string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	plant("mine", func(path string) error { return os.WriteFile(path, nil, 0o600) })
	plant("copy", linkTo(node))
	plant("extracted", linkTo("/missing"))
	plant(".ailee_test_recovery", linkTo(filepath.Join(node, "l2_snapshots.dat")))
	plant(".ailee_test_recovery", func(path string) error { return os.Mkdir(path, 0o700) })
	// A folder without the marker is not that of a drill.
	refused(stage, stage+" contains something that none of your drills made: "+stage+"\n")
	require.Equal(t, before, contents(t, node))
}

// TestFolderOfAnotherUser: a drill refuses a folder of another user, and files that another user
// put into it: that user could replace them with links elsewhere at any moment.
func TestFolderOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make folders of other users")
	}
	t.Parallel()
	const otherUser = 64200
	m := newMachine(t)
	for _, foreign := range []string{"", ".ailee_test_recovery", "copy"} {
		stage := filepath.Join(m.temporary, "stage"+foreign)
		require.NoError(t, os.MkdirAll(filepath.Join(stage, "copy"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(stage, ".ailee_test_recovery"), nil, 0o600))
		require.NoError(t, os.Chown(filepath.Join(stage, foreign), otherUser, otherUser))
		code, _, stderr := run(t, m.command("--mode", "reorg", "--data-dir", stage))
		require.Equal(t, exit.Failed, code)
		require.Contains(t, stderr, stage+" contains something that none of your drills made: "+filepath.Join(stage, foreign)+"\n")
		require.DirExists(t, filepath.Join(stage, "copy"))
	}
}

// TestTwice: a second drill in a folder is refused while one is running there.
func TestTwice(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	stage := t.TempDir()
	held, err := os.Open(stage)
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	code, _, stderr := run(t, m.command("--mode", "crash", "--data-dir", stage))
	require.Equal(t, exit.Failed, code)
	require.Contains(t, stderr, "another drill is running in "+stage)
	require.Empty(t, clitest.Names(t, stage))
}

// result is the JSON result.
type result struct {
	Mode, Chain, Verdict string
	DataDir              string `json:"data_dir"`
	Steps                []struct {
		Step   string
		Passed bool
	}
	Errors []struct{ Message, Hint string }
	Code   int `json:"exit_code"`
}

// inJSON runs a drill with --json, which must end with this exit code.
func (m machine) inJSON(t *testing.T, code int, args ...string) (r result) {
	t.Helper()
	got, stdout, stderr := run(t, m.command(append(args, "--json")...))
	require.Equal(t, code, got, "%s%s", stdout, stderr)
	require.NoError(t, json.Unmarshal([]byte(stdout), &r), stdout)
	require.Equal(t, code, r.Code)
	return r
}

// sabotaged returns an environment variable that replaces a tool with a script.
func sabotaged(t *testing.T, name, script string) string {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return "AILEE_BIN=" + bin
}

// TestDocument: the JSON result has all steps. Without a verdict it has an error.
func TestDocument(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.inJSON(t, exit.OK, "--mode", "reorg")
	require.Equal(t, []string{"reorg", "made up", "passed"}, []string{r.Mode, r.Chain, r.Verdict})
	require.Greater(t, len(r.Steps), 10)
	require.True(t, r.Steps[len(r.Steps)-1].Passed)
	require.Empty(t, r.Errors)
	require.NoDirExists(t, r.DataDir)
	require.Empty(t, m.inJSON(t, exit.OK, "--mode", "corruption", "--corrupt-snapshot").Chain)

	failing := machine{m.temporary, append(m.env, sabotaged(t, "ailee_init_node", "exit 0"))}
	r = failing.inJSON(t, exit.Wrong, "--mode", "reorg")
	require.Equal(t, "failed", r.Verdict)
	require.False(t, r.Steps[len(r.Steps)-1].Passed)
	require.Len(t, r.Errors, 1)
	require.Contains(t, r.Errors[0].Message, "it verifies: ailee_l2_verify exits with 1")
	// The folder stays for the operator to inspect, even after the next drill.
	require.Equal(t, "see what the drill left: "+r.DataDir, r.Errors[0].Hint)
	m.passes(t, "--mode", "reorg")
	require.FileExists(t, filepath.Join(r.DataDir, "samples", "1.dat"))
	require.Equal(t, []string{filepath.Base(r.DataDir)}, clitest.Names(t, m.temporary))

	r = m.inJSON(t, exit.Failed, "--mode", "nothing")
	require.Empty(t, r.Verdict)
	require.Equal(t, "--mode nothing is not crash, reorg or corruption", r.Errors[0].Message)
	require.Equal(t, "ailee-drill --help shows the usage", r.Errors[0].Hint)
}

// TestCouldNotDrill: what prevents a tool or the drill from working says nothing about the
// recovery.
func TestCouldNotDrill(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for script, says := range map[string]string{
		"kill -KILL $$": "it verifies: ailee_l2_verify ended with signal: killed",
		"exit 127":      "it verifies: ailee_l2_verify ended with exit status 127",
	} {
		// The samples are verified earlier, with --all.
		m := machine{m.temporary, append(m.env, sabotaged(t, "ailee_l2_verify", `case $1 in --json) exec "$REAL" "$@" ;; esac; `+script), "REAL="+tool(t, "ailee_l2_verify"))}
		r := m.inJSON(t, exit.Failed, "--mode", "reorg")
		require.Empty(t, r.Verdict)
		require.Equal(t, says, r.Errors[0].Message)
	}
	// ailee-drill alone in its folder.
	cmd := machine{m.temporary, append(m.env, "PATH=/usr/bin:/bin")}.command("--mode", "crash")
	cmd.Path = filepath.Join(t.TempDir(), "ailee-drill")
	require.NoError(t, os.Link(tool(t, "ailee-drill"), cmd.Path))
	code, _, stderr := run(t, cmd)
	require.Equal(t, exit.Failed, code)
	require.Equal(t, "ailee-drill: error: ailee_l2_verify is missing\nailee-drill: hint: install it, or set AILEE_BIN to the folder of the ailee tools\n", stderr)

	code, _, stderr = run(t, machine{env: []string{"TMPDIR=/missing"}}.command("--mode", "reorg"))
	require.Equal(t, exit.Failed, code)
	require.Contains(t, stderr, "hint: create the folder for temporary files, or name another in TMPDIR\n")
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err)
	return path
}

// TestDiskFull: at whatever point the disk is full, the drill comes to no verdict.
func TestDiskFull(t *testing.T) {
	if !clitest.CanMount(t) {
		t.Skip("cannot mount")
	}
	clitest.SkipUnderRace(t)
	m := newMachine(t)
	stage := t.TempDir()
	mode, factor := "crash", 2
	if testing.Short() {
		mode, factor = "reorg", 8
	}
	for kib, passed := 64, false; !passed; kib *= factor {
		require.NoError(t, unix.Mount("tmpfs", stage, "tmpfs", 0, "size="+strconv.Itoa(kib)+"k"))
		code, stdout, stderr := run(t, m.command("--mode", mode, "--data-dir", filepath.Join(stage, "drill")))
		require.NoError(t, unix.Unmount(stage, unix.MNT_DETACH))
		require.Contains(t, []int{exit.OK, exit.Failed}, code, "%d KiB: %s%s", kib, stdout, stderr)
		require.NotContains(t, stdout, "Drill failed")
		passed = code == exit.OK
	}
}

// TestCannotPrint: a drill that cannot print its outcome has failed.
func TestCannotPrint(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	cmd := m.command("--mode", "reorg")
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = full, &errs
	require.Error(t, cmd.Run())
	require.Equal(t, exit.Failed, cmd.ProcessState.ExitCode())
	require.Contains(t, errs.String(), "cannot write to standard output")
	require.Empty(t, clitest.Names(t, m.temporary))
}

// emptyCopy is an ailee_init_reorg_db that copies nothing from a damaged database, and yet ends
// with the exit status that a working one would have.
const emptyCopy = `case "$*" in
*--copy-from*corrupted*) "$REAL" --quiet --path "$3"; exit 2 ;;
esac
exec "$REAL" "$@"`

// TestFailWhenSabotaged: a drill that passes although a tool does nothing, or always reports
// success, would prove nothing.
func TestFailWhenSabotaged(t *testing.T) {
	t.Parallel()
	used := map[string][]string{
		"crash": {"ailee_l2_verify", "ailee_init_node", "ailee_create_anchor", "ailee_prune_snapshots", "ailee_resync_blocks", "ailee_init_reorg_db", "ailee_reorg_verify"},
		"reorg": {"ailee_l2_verify", "ailee_resync_blocks", "ailee_reorg_verify"},
		"corruption": {"ailee_l2_verify", "ailee_init_node", "ailee_extract_snapshots", "ailee_init_reorg_db", "ailee_reorg_verify", "ailee_resync_blocks",
			"ailee-backup", "ailee-restore"},
	}
	for mode, tools := range used {
		for i, name := range tools {
			ways := map[string]string{"does nothing": "exit 0", "says yes": "echo Verification OK.", "is broken": "echo broken >&2; exit 1"}
			if mode == "corruption" && name == "ailee_init_reorg_db" {
				ways["loses all"] = emptyCopy
			}
			for what, script := range ways {
				t.Run(fmt.Sprintf("%s/%s %s", mode, name, what), func(t *testing.T) {
					if testing.Short() && (what == "says yes" || what == "is broken" || i%3 > 0) {
						t.Skip("a sample is enough in short mode")
					}
					t.Parallel()
					m := newMachine(t, sabotaged(t, name, script), "REAL="+tool(t, name))
					code, stdout, stderr := run(t, m.command(slices.Concat(drills[mode], []string{"--data-dir", filepath.Join(m.temporary, "stage")})...))
					require.Equal(t, exit.Wrong, code, "%s%s", stdout, stderr)
					require.Contains(t, stdout, "FAILED")
					require.Contains(t, stdout, "Drill failed: "+mode)
					require.Contains(t, stderr, "ailee-drill: error: ")
				})
			}
		}
	}
}

// TestDoctor: if ailee-doctor is installed, a drill ends with its verdict on the node's directory.
func TestDoctor(t *testing.T) {
	t.Parallel()
	for mode, args := range drills {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, withDoctor(t))
			require.True(t, strings.HasSuffix(m.passes(t, args...), "\nHealthy. Nothing to do.\n"))
		})
	}
}
