package multicall_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/multicall"
)

// TestEveryCommand: each folder of cmd/ is a command of the program, or the program itself,
// and the names of commands are unique even without their prefix.
func TestEveryCommand(t *testing.T) {
	names, short := []string{multicall.Name}, map[string]bool{}
	for _, command := range multicall.Commands() {
		names = append(names, command.Name)
		short[multicall.Short(command.Name)] = true
	}
	require.ElementsMatch(t, clitest.Names(t, "../../cmd"), names)
	require.Len(t, short, len(names)-1)
}

// TestCalled: which tool a command line calls.
func TestCalled(t *testing.T) {
	for line, want := range map[string]string{
		"ailee_l2_verify --json":               "ailee_l2_verify --json",
		"/usr/bin/ailee-doctor":                "ailee-doctor",
		"ailee_l2_verify doctor":               "ailee_l2_verify doctor",
		"/opt/bin/ailee l2_verify --json":      "ailee_l2_verify --json",
		"ailee doctor":                         "ailee-doctor",
		"ailee ailee-doctor --quiet doctor":    "ailee-doctor --quiet doctor",
		"ailee-v1.2-linux reorg_show families": "ailee_reorg_show families",
		"l2_verify doctor":                     "ailee-doctor", // whatever the program is renamed to
		"ailee":                                "ailee",
		"ailee help":                           "ailee --help",
		"ailee help doctor":                    "ailee-doctor --help",
		"ailee help doctor --json":             "ailee-doctor --help",
		"ailee help nothing":                   "ailee -- nothing --help",
		"ailee --json doctor":                  "ailee --json -- doctor",
		"ailee ailee":                          "ailee -- ailee",
		"ailee --install-links DIR --json":     "ailee --install-links DIR --json",
		"ailee l2_verif":                       "ailee -- l2_verif",
		"ailee l2_verif --json -x f":           "ailee --json -- l2_verif --json -x f",
	} {
		words := strings.Fields(line)
		tool, args := multicall.Called(words)
		require.Equal(t, want, strings.Join(args, " "), line)
		require.Equal(t, tool.Name, args[0], line)
		require.Equal(t, line, strings.Join(words, " "))
	}
}

// TestDocuments: what the program prints as JSON.
func TestDocuments(t *testing.T) {
	code, stdout, _ := clitest.Run(multicall.Tool(), "--json", "--list")
	require.Zero(t, code)
	var list struct {
		Commands []struct{ Name, Summary string }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &list))
	require.Len(t, list.Commands, len(multicall.Commands()))

	folder := t.TempDir()
	var links struct{ Made, Kept []string }
	for range 2 {
		code, stdout, _ = clitest.Run(multicall.Tool(), "--json", "--install-links", folder)
		require.Zero(t, code)
		require.NoError(t, json.Unmarshal([]byte(stdout), &links))
	}
	require.Empty(t, links.Made)
	require.ElementsMatch(t, clitest.Names(t, folder), links.Kept)
	require.Len(t, links.Kept, len(multicall.Commands()))

	code, _, _ = clitest.Run(multicall.Tool(), "--json", "--install-links", filepath.Join(folder, "missing"))
	require.Equal(t, 1, code)
}

// alone returns the program as a process that has no links to it.
func alone(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Args = append([]string{multicall.Name}, args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/bin:/bin", "TMPDIR="+t.TempDir())
	return cmd
}

// TestDrillAlone: the drill uses the tools of its own program, even if there are no links
// with their names.
func TestDrillAlone(t *testing.T) {
	clitest.SkipUnderRace(t)
	out, err := alone(t, "drill", "--mode", "reorg").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "ask ailee-doctor")
}

// TestProcessName: ps and the messages of other commands show the command as the process name.
func TestProcessName(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	require.NoError(t, err)
	defer writer.Close()
	cmd := alone(t, "l2_verify", "--snapshot", pipe)
	require.NoError(t, cmd.Start())
	clitest.WaitFor(t, cmd, func() bool { return clitest.Opened(cmd.Process.Pid, pipe) })
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "comm"))
	require.NoError(t, err)
	require.Equal(t, "ailee_l2_verify\n", string(name))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
}
