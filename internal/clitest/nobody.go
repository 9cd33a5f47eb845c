package clitest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Nobody is the user and group id of a user without any rights.
const Nobody = 65534

// AsNobody runs a command as a user without any rights, with the given umask. The test must have
// called [ForNobody].
func AsNobody(t *testing.T, umask int, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := exec.LookPath(args[0])
	require.NoError(t, err)
	// The test's own binary is in a folder that belongs to root.
	binary := filepath.Join(os.Getenv("NOBODY"), args[0])
	if _, err := os.Stat(binary); err != nil {
		data, err := os.ReadFile(self)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(binary, data, 0o755))
	}
	var out, errs bytes.Buffer
	cmd := exec.Command("sh", append([]string{"-c", fmt.Sprintf(`umask %03o; exec "$@"`, umask), "sh", binary}, args[1:]...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody}}
	cmd.Env = append(os.Environ(), "HOME=/nonexistent")
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &out, &errs
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// ForNobody makes a folder that the user [Nobody] can reach, as well as the folders above it.
func ForNobody(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	top := t.TempDir()
	for dir := top; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	bin := filepath.Join(top, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	t.Setenv("NOBODY", bin)
	return top
}
