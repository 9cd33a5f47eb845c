package child_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/child"
)

// parent is the variable that makes the test binary start a child, print its pid, and wait.
const parent = "AILEE_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parent) == "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("cat")
	cmd.Stdin = os.Stdin // which does not end
	if _, err := child.Start(cmd); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(cmd.Process.Pid)
	select {}
}

// TestEndsWithItsParent: the child ends even if its parent is killed.
func TestEndsWithItsParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parent+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err, line)
	require.NoError(t, syscall.Kill(pid, 0))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for alive(pid) {
		time.Sleep(time.Millisecond)
	}
}

// alive reports whether a process is running. A zombie that is never reaped, as in a
// container, is not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestEnds(t *testing.T) {
	require.NoError(t, child.Run(exec.Command("true")))
	var ended *exec.ExitError
	require.ErrorAs(t, child.Run(exec.Command("false")), &ended)
	require.Equal(t, 1, ended.ExitCode())
	require.ErrorIs(t, child.Run(exec.Command("/missing")), os.ErrNotExist)

	// Signals that this process ignores, as under nohup, would be ignored by its children.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	for script, interrupted := range map[string]bool{"kill -INT $$": true, "kill -TERM $$": true, "kill -HUP $$": true, "kill -KILL $$": false, "exit 130": false, "true": false} {
		cmd := exec.Command("sh", "-c", script)
		_ = child.Run(cmd)
		require.Equal(t, interrupted, child.Interrupted(cmd), script)
	}
	require.False(t, child.Interrupted(exec.Command("/missing")))

	p, err := child.Start(exec.Command("sleep", "1000"))
	require.NoError(t, err)
	select {
	case <-p.Ended():
		require.Fail(t, "it has ended")
	default:
	}
	p.Kill()
	<-p.Ended()
	require.ErrorAs(t, p.Wait(), &ended)
	p.Kill() // killing it again does no harm
}
