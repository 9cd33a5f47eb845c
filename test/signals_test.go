package test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
)

// stubborn is a tool that reports an interrupt on standard output, but does not end.
func stubborn() cli.Tool {
	return cli.Tool{Name: "stubborn", Summary: "does not end", Run: func(ctx context.Context, _ *urfave.Context, out *cli.IO) error {
		out.Printf("started\n")
		<-ctx.Done()
		out.Printf("told\n")
		time.Sleep(time.Hour)
		return nil
	}}
}

// signalOf returns the signal that ended a process, 0 for none.
func signalOf(state *os.ProcessState) syscall.Signal {
	status := state.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		return 0
	}
	return status.Signal()
}

// waiting makes a pipe for a tool to wait for.
func waiting(t *testing.T) (path string, writer *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	writer, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = writer.Close() })
	return path, writer
}

// TestEndsByTheSignal: an interrupted run ends by the signal that it got, and says so in its
// document, with the status that a shell reports.
func TestEndsByTheSignal(t *testing.T) {
	pipe, _ := waiting(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		for _, more := range []string{"--json", "--all"} {
			var out, errs bytes.Buffer
			cmd := exec.Command(l2verify.Name, more, pipe)
			cmd.Stdout, cmd.Stderr = &out, &errs
			require.NoError(t, cmd.Start())
			clitest.WaitFor(t, cmd, func() bool { return clitest.Opened(cmd.Process.Pid, pipe) })
			require.NoError(t, cmd.Process.Signal(signal))
			require.Error(t, cmd.Wait())
			require.Equal(t, signal, signalOf(cmd.ProcessState), errs.String())
			require.Equal(t, "ailee_l2_verify: error: interrupted\nailee_l2_verify: hint: nothing that existed was changed\n", errs.String())
			if more == "--json" {
				require.JSONEq(t, fmt.Sprintf(`{"errors": [{"message": "interrupted", "hint": "nothing that existed was changed"}], "exit_code": %d}`, 128+signal), out.String())
			}
		}
	}
}

// TestInterruptedInTheMiddle: an interrupted document has what was found until then.
func TestInterruptedInTheMiddle(t *testing.T) {
	pipe, writer := waiting(t)
	cmd := exec.Command(l2verify.Name, "--all", "--json", pipe)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// The first snapshot is reported once the second one is there.
	_, err = writer.WriteString(clitest.Numbered(1) + clitest.Numbered(2))
	require.NoError(t, err)
	lines := bufio.NewReader(out)
	text := ""
	for !strings.Contains(text, `"index":1`) {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, text)
		if text += line; strings.Contains(line, `"snapshots": [`) {
			// The row is on the next line, which ends only with the next row.
			row, err := lines.Peek(len(`    {"index":1`))
			require.NoError(t, err)
			text += string(row)
		}
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	require.Equal(t, syscall.SIGINT, signalOf(cmd.ProcessState))
	text = strings.TrimSuffix(text, `    {"index":1`) + string(rest)
	require.NoError(t, clitest.Record(l2verify.Name, []string{"--json"}, text))
	var doc struct {
		Snapshots []any
		Errors    []cli.ErrorDocument
		Code      int `json:"exit_code"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &doc), text)
	require.NotEmpty(t, doc.Snapshots)
	require.Equal(t, []cli.ErrorDocument{{Message: "interrupted", Hint: "nothing that existed was changed"}}, doc.Errors)
	require.Equal(t, 130, doc.Code)
}

// TestInterruptedLoop: Ctrl-C, which goes to all processes of a shell, ends the shell's loop.
func TestInterruptedLoop(t *testing.T) {
	pipe, _ := waiting(t)
	for _, shell := range []string{"bash", "sh"} {
		var out bytes.Buffer
		cmd := exec.Command(shell, "-c", `for round in 1 2 3; do echo "round $round"; ailee_l2_verify "$0"; done; echo "went on"`, pipe)
		cmd.Stdout = &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		tool := 0
		clitest.WaitFor(t, cmd, func() bool {
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
			tool, _ = strconv.Atoi(strings.TrimSpace(string(children)))
			return tool != 0 && clitest.Opened(tool, pipe)
		})
		require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
		require.Error(t, cmd.Wait())
		require.Equal(t, syscall.SIGINT, signalOf(cmd.ProcessState), shell)
		require.Equal(t, "round 1\n", out.String(), shell)
	}
}

// TestIgnoredSignal: a signal that is ignored, as under nohup, does not interrupt a run.
func TestIgnoredSignal(t *testing.T) {
	pipe, writer := waiting(t)
	var out, errs bytes.Buffer
	cmd := exec.Command("sh", "-c", `trap "" HUP INT; exec ailee_l2_verify "$0"`, pipe)
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Start())
	clitest.WaitFor(t, cmd, func() bool { return clitest.Opened(cmd.Process.Pid, pipe) })
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	_, err := writer.WriteString(clitest.Numbered(1))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	require.NoError(t, cmd.Wait(), errs.String())
	require.Contains(t, out.String(), "Verification OK.\n")
}

// TestSecondSignal: a second signal ends a run at once.
func TestSecondSignal(t *testing.T) {
	cmd := exec.Command(stubborn().Name)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.True(t, lines.Scan())
	require.Equal(t, "told", lines.Text())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait())
	require.Equal(t, syscall.SIGTERM, signalOf(cmd.ProcessState))
}

// TestFirstProcess: the kernel does not let a signal end the first process of a container. It exits
// with the signal's status instead, which is not a verdict.
func TestFirstProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start the first process of a container")
	}
	cmd := exec.Command(stubborn().Name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	if err := cmd.Start(); err != nil {
		t.Skipf("cannot make a container here: %v", err)
	}
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.True(t, lines.Scan())
	require.Equal(t, "told", lines.Text())
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.Error(t, cmd.Wait())
	require.Equal(t, 130, cmd.ProcessState.ExitCode(), cmd.ProcessState)
}

// ending is a context that ends after Err was called the given number of times.
type ending struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (e *ending) Err() error {
	if e.left.Add(-1) < 0 {
		e.cancel()
	}
	return e.Context.Err()
}

// TestInterruptedDocuments: wherever a tool is interrupted, its document says so, and does not show
// the internal error. Its hint says what the run leaves.
func TestInterruptedDocuments(t *testing.T) {
	clitest.InMemory(t)
	seen := map[string]int{}
	paths := func(f, db, out, dir string) map[string][][]string {
		all := everyPath(f, db, out, dir)
		all[backup.Name] = [][]string{{"--snapshot-only", "--data-dir", dir, "--backup-dir", out}}
		return all
	}
	for _, command := range allTools() {
		for i := range paths("", "", "", "")[command.Name] {
			interrupted := true
			for after := int64(0); interrupted && after < 1000; after = after*3/2 + 1 {
				if testing.Short() && after > 30 {
					break
				}
				dir := t.TempDir()
				f, db := filepath.Join(dir, "f"), filepath.Join(dir, "db")
				require.NoError(t, os.WriteFile(f, []byte(clitest.Numbered(1)+clitest.Numbered(2)), 0o600))
				require.NoError(t, golden.Unpack("node-odd-records", dir))
				require.NoError(t, os.Rename(filepath.Join(dir, "node-odd-records"), db))
				if command.Name == backup.Name {
					require.NoError(t, os.Symlink(f, filepath.Join(dir, "l2_snapshots.dat")))
				}
				args := append([]string{command.Name, "--json"}, paths(f, db, filepath.Join(dir, "out"), dir)[command.Name][i]...)
				ctx := new(ending)
				ctx.Context, ctx.cancel = context.WithCancel(t.Context())
				ctx.left.Store(after)
				var out, errs bytes.Buffer
				code := cli.Execute(ctx, command, args, cli.Streams{Out: &out, Err: &errs})
				interrupted = ctx.Context.Err() != nil
				ctx.cancel()
				require.NotContains(t, out.String()+errs.String(), "context canceled", "%q after %d", args, after)
				require.NoError(t, clitest.Record(command.Name, args, out.String()))
				if code == exit.Failed && strings.Contains(errs.String(), "error: interrupted") {
					require.Contains(t, out.String(), "interrupted", args)
					require.Contains(t, errs.String(), command.Name+": hint: "+cmp.Or(command.Leaves, "nothing that existed was changed")+"\n", args)
					seen[command.Name]++
				}
			}
		}
	}
	require.Greater(t, len(seen), 10, seen)
	for _, command := range allTools() {
		require.True(t, command.Leaves == "" || seen[command.Name] > 0, "%s was not interrupted: %v", command.Name, seen)
	}
}
