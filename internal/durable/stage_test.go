package durable_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/durable"
)

func stage(t *testing.T, dir string, files map[string]string) *durable.Staging {
	t.Helper()
	s, err := durable.Stage(dir, ".staging")
	require.NoError(t, err)
	for name, text := range files {
		f, err := s.Create(name, 0o640)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.CheckSize(int64(len(text))))
		require.ErrorContains(t, f.CheckSize(int64(len(text))+1), "bytes instead of")
		require.NoError(t, f.Close())
	}
	require.NoError(t, s.Sync())
	return s
}

// TestStaging: no file has its name before it is published, and no file is replaced unless
// that was asked for.
func TestStaging(t *testing.T) {
	dir := t.TempDir()
	s := stage(t, dir, map[string]string{"a": "a", "b": "b"})
	require.False(t, s.Resumed())
	require.False(t, s.Fresh())
	require.Equal(t, []string{".staging"}, names(t, dir))
	_, err := durable.Stage(dir, ".staging")
	require.ErrorIs(t, err, durable.ErrBusy)
	require.NoError(t, durable.Missing(filepath.Join(dir, "a")))
	require.NoError(t, s.Publish("a", false))
	require.ErrorIs(t, durable.Missing(filepath.Join(dir, "a")), fs.ErrExist)
	require.NoError(t, s.Publish("b", false))
	require.NoError(t, s.Commit())
	s.Abort() // does nothing
	require.Equal(t, []string{"a", "b"}, names(t, dir))

	s = stage(t, dir, map[string]string{"a": "new", "b": "b"})
	require.ErrorIs(t, s.Publish("a", false), fs.ErrExist)
	require.ErrorIs(t, s.Publish("b", false), fs.ErrExist, "the same bytes, but no run was killed")
	require.NoError(t, s.Publish("a", true))
	s.Abort()
	require.Equal(t, []string{"a", "b"}, names(t, dir))
	require.Equal(t, "new", read(t, filepath.Join(dir, "a")))
}

// TestStagingFresh: a missing folder appears with all its files, or not at all.
func TestStagingFresh(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "made", "deep")
	s := stage(t, dir, map[string]string{"a": "a", "b": "b"})
	require.True(t, s.Fresh())
	require.Equal(t, []string{".deep.ailee-tmp"}, names(t, filepath.Dir(dir)))
	_, err := durable.Stage(dir, ".staging")
	require.ErrorIs(t, err, durable.ErrBusy)
	_, err = durable.CouldStage(dir, ".staging")
	require.ErrorIs(t, err, durable.ErrBusy)
	require.NoError(t, s.Publish("a", false))
	require.NoError(t, s.Publish("b", false))
	require.NoError(t, durable.Missing(dir))
	require.NoError(t, s.Commit())
	s.Abort() // does nothing
	require.Equal(t, []string{"a", "b"}, names(t, dir))
	require.Equal(t, []string{"deep"}, names(t, filepath.Dir(dir)))
	like := filepath.Join(top, "like")
	require.NoError(t, os.Mkdir(like, 0o755))
	require.Equal(t, mode(t, like), mode(t, dir))

	// What has taken the name meanwhile stays.
	other := filepath.Join(top, "other")
	s = stage(t, other, map[string]string{"a": "a"})
	require.NoError(t, os.Mkdir(other, 0o755))
	require.ErrorIs(t, s.Commit(), fs.ErrExist)
	s.Abort()
	require.Empty(t, names(t, other))
	require.Equal(t, []string{"like", "made", "other"}, names(t, top))

	// The mode of what a killed run left is not kept.
	left := filepath.Join(top, ".new.ailee-tmp")
	require.NoError(t, os.Mkdir(left, 0o700))
	write(t, filepath.Join(left, "half"), "ha")
	s = stage(t, filepath.Join(top, "new"), map[string]string{"a": "a"})
	require.True(t, s.Resumed())
	require.NoError(t, s.Commit())
	require.Equal(t, []string{"a"}, names(t, filepath.Join(top, "new")))
	require.Equal(t, mode(t, like), mode(t, filepath.Join(top, "new")))

	// A name with no room for a longer one.
	long := filepath.Join(top, strings.Repeat("x", 250))
	s = stage(t, long, map[string]string{"a": "a"})
	require.False(t, s.Fresh())
	require.NoError(t, s.Publish("a", false))
	require.NoError(t, s.Commit())
	require.Equal(t, []string{"a"}, names(t, long))

	_, err = durable.Stage("/proc/new", ".staging")
	require.ErrorContains(t, err, "mkdir /proc/new: ")
}

// TestStagingWrite: a file is written whole, and never over an existing one.
func TestStagingWrite(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "new")} {
		s := stage(t, dir, nil)
		require.NoError(t, s.Write("a", 0o640, []byte("text")))
		require.NoError(t, s.Write("empty", 0o600, nil))
		require.ErrorIs(t, s.Write("a", 0o640, []byte("other")), fs.ErrExist)
		_, err := s.Create("a", 0o640)
		require.ErrorIs(t, err, fs.ErrExist)
		require.NoError(t, s.Publish("a", false))
		require.NoError(t, s.Publish("empty", false))
		require.NoError(t, s.Commit())
		require.Equal(t, "text", read(t, filepath.Join(dir, "a")))
		require.Equal(t, "", read(t, filepath.Join(dir, "empty")))
		require.EqualValues(t, 0o600, mode(t, filepath.Join(dir, "empty")))
	}
}

// TestStagingAborted: existing files stay, and folders that were created are removed.
func TestStagingAborted(t *testing.T) {
	top := t.TempDir()
	stage(t, filepath.Join(top, "made", "deep"), map[string]string{"a": "a"}).Abort()
	require.Empty(t, names(t, top))
	write(t, filepath.Join(top, "kept"), "")
	stage(t, top, map[string]string{"a": "a"}).Abort()
	require.Equal(t, []string{"kept"}, names(t, top))
}

// TestStagingAfterAKill: a file that the killed run had already published has the right
// content; any other file is not replaced.
func TestStagingAfterAKill(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".staging"), 0o700))
	write(t, filepath.Join(dir, ".staging", "half"), "ha")
	write(t, filepath.Join(dir, "a"), "a")
	write(t, filepath.Join(dir, "b"), "another's")
	write(t, filepath.Join(dir, "elsewhere"), "c")
	require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, "c")))
	s := stage(t, dir, map[string]string{"a": "a", "b": "b", "c": "c", "half": "half"})
	require.True(t, s.Resumed())
	require.NoError(t, s.Publish("a", false))
	require.ErrorIs(t, s.Publish("b", false), fs.ErrExist)
	require.ErrorIs(t, s.Publish("c", false), fs.ErrExist)
	require.NoError(t, s.Publish("half", false))
	s.Abort()
	require.Equal(t, []string{"a", "b", "c", "elsewhere", "half"}, names(t, dir))
	require.Equal(t, "another's", read(t, filepath.Join(dir, "b")))
	require.Equal(t, "half", read(t, filepath.Join(dir, "half")))
}

// TestSameBytes: also at and around the size of its buffer, and with readers that return
// little at a time.
func TestSameBytes(t *testing.T) {
	const buffer = 256 << 10
	for _, n := range []int{0, 1, buffer - 1, buffer, buffer + 1, 2 * buffer} {
		text := strings.Repeat("x", n)
		for other, want := range map[string]bool{text: true, text + "x": false, text + "y": false, "y" + text: false} {
			for _, less := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader} {
				same, err := durable.SameBytes(less(strings.NewReader(text)), strings.NewReader(other))
				require.NoError(t, err)
				require.Equal(t, want, same, "%d, %d", n, len(other))
				same, err = durable.SameBytes(strings.NewReader(other), less(strings.NewReader(text)))
				require.NoError(t, err)
				require.Equal(t, want, same)
			}
		}
	}
	broken := errors.New("broken")
	_, err := durable.SameBytes(io.MultiReader(strings.NewReader("a"), iotest.ErrReader(broken)), strings.NewReader("a"))
	require.ErrorIs(t, err, broken)
}

func TestSamePrefix(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int64
	}{{"", "", 0}, {"a", "", 0}, {"", "a", 0}, {"ab", "ac", 1}, {"ab", "abc", 2}, {"abc", "ab", 2}, {"abc", "abc", 3}, {strings.Repeat("x", 10_000) + "a", strings.Repeat("x", 10_000) + "b", 10_000}} {
		n, err := durable.SamePrefix(strings.NewReader(c.a), strings.NewReader(c.b))
		require.NoError(t, err)
		require.Equal(t, c.want, n)
	}
	broken := errors.New("broken")
	n, err := durable.SamePrefix(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), strings.NewReader("abc"))
	require.ErrorIs(t, err, broken)
	require.EqualValues(t, 2, n)
}
