package bitcoin_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/exit"
)

// inAnotherProcess runs a test again in a separate process, with a variable set in its
// environment. It reports whether this is that process.
func inAnotherProcess(t *testing.T, variable, value string, more ...string) (other bool) {
	t.Helper()
	if os.Getenv(variable) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(append(os.Environ(), variable+"="+value), more...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return false
}

// TestNoUnixSockets: if the systemd unit allows the process no Unix sockets, the error says so,
// whatever is asked, and nothing is sent.
func TestNoUnixSockets(t *testing.T) {
	const given = "AILEE_TEST_NO_UNIX"
	chain := bitcointest.NewChain(5)
	if !inAnotherProcess(t, given, "1") {
		return
	}
	url := chain.Serve(t)
	forbid(t, unix.AF_UNIX)
	c, err := bitcoin.Open(bitcoin.Options{URL: url}, t.Logf)
	require.NoError(t, err)
	for _, err := range []error{c.Call(t.Context(), "getblockcount", nil, nil), c.Send(t.Context(), "sendrawtransaction", nil, nil)} {
		require.ErrorIs(t, err, syscall.EAFNOSUPPORT)
		require.NotErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
		var hinted *exit.Error
		require.ErrorAs(t, err, &hinted)
		require.Contains(t, hinted.Hint, "AF_UNIX in RestrictAddressFamilies=")
	}
	require.Zero(t, chain.Requests())
	_, err = c.FindBlocks(t.Context(), []string{chain.Hash(3)})
	require.NoError(t, err, "batches need none")
}

// TestTooManyOpenFiles: the error says that too many files are open, not that sockets are not
// allowed.
func TestTooManyOpenFiles(t *testing.T) {
	const given = "AILEE_TEST_FEW_FILES"
	if !inAnotherProcess(t, given, "1") {
		return
	}
	c, err := bitcoin.Open(bitcoin.Options{URL: bitcointest.NewChain(5).Serve(t)}, t.Logf)
	require.NoError(t, err)
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: before.Max}))
	err = c.Send(t.Context(), "sendrawtransaction", nil, nil)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
	require.ErrorIs(t, err, syscall.EMFILE)
	require.NotErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
	var hinted *exit.Error
	require.ErrorAs(t, err, &hinted)
	require.Equal(t, "too many files are open: raise the limit of the process (ulimit -n) or of the machine", hinted.Hint)
}

// forbid denies this process sockets of a family, as systemd's RestrictAddressFamilies= does.
func forbid(t *testing.T, family uint32) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const loadNumber, loadFamily = 0, 16 // in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: loadNumber},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.SYS_SOCKET},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: loadFamily},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: family},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errors.Is(errno, unix.ENOSYS) || errors.Is(errno, unix.EINVAL) {
		t.Skip("this kernel filters no system calls")
	}
	require.Zero(t, errno)
}
