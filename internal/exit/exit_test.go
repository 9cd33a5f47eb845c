package exit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/exit"
)

// TestCode: the code is that of the first exit error in the chain, 1 without one.
func TestCode(t *testing.T) {
	plain := errors.New("plain")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{plain, 1},
		{exit.Fail("hint", plain), 1},
		{exit.Failf("", "%d", 5), 1},
		{exit.WrongData("hint", plain), 2},
		{exit.WrongData("hint", nil), 2},
		{fmt.Errorf("wrapped: %w", exit.WrongData("", plain)), 2},
		{errors.Join(plain, exit.WrongData("", plain)), 2},
		{exit.Fail("", exit.WrongData("", plain)), 1},
		{exit.WrongData("", exit.Fail("", plain)), 2},
	} {
		require.Equal(t, c.want, exit.Code(c.err), "%v", c.err)
	}
}

func TestError(t *testing.T) {
	err := exit.Failf("do this", "cannot read: %w", fs.ErrNotExist)
	require.EqualError(t, err, "cannot read: file does not exist")
	require.ErrorIs(t, err, fs.ErrNotExist)
	var e *exit.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "do this", e.Hint)
	require.EqualError(t, exit.WrongData("", nil), "the data is wrong")
}

// TestCommand: a shell reads the same words back.
func TestCommand(t *testing.T) {
	require.Equal(t, "ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat", exit.Command("ailee_l2_verify", "--snapshot", "/var/lib/ailee/l2_snapshots.dat"))
	words := []string{"a b", "", "it's", `"$HOME"`, "`id`", "a;b", "*", "\\", "-n", "a\nb"}
	out, err := exec.Command("sh", "-c", `printf '<%s>' `+exit.Command(words...)).Output()
	require.NoError(t, err)
	want := ""
	for _, word := range words {
		want += "<" + word + ">"
	}
	require.Equal(t, want, string(out))
	require.Equal(t, "ailee_l2_verify --snapshot=-x.dat -q -- ./-x.dat ./--1 - -5", exit.Command("ailee_l2_verify", "--snapshot=-x.dat", "-q", "--", "-x.dat", "--1", "-", "-5"))
}
