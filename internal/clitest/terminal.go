package clitest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// OpenTerminal opens a pseudo-terminal and returns the operator's side and the tool's side.
func OpenTerminal(t *testing.T) (terminal, tty *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return terminal, tty
}

// ReadUntil returns what appears on the terminal up to the given text.
func ReadUntil(t *testing.T, terminal *os.File, end string) string {
	t.Helper()
	var shown strings.Builder
	buf := make([]byte, 1)
	for !strings.HasSuffix(shown.String(), end) {
		_, err := terminal.Read(buf)
		require.NoError(t, err, shown.String())
		shown.Write(buf)
	}
	return shown.String()
}
