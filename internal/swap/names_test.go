package swap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNames: a second name is parsed to what it was made from, and no other name is parsed.
func TestNames(t *testing.T) {
	for _, n := range []second{
		{kind: oldKind, src: 7, from: 0, dst: 8, at: 12, gs: "00ff", gd: "abcd"},
		{kind: backKind, src: 1 << 40, from: 1 << 50, dst: 9, at: 1 << 51, gs: "0", gd: "1"},
		{kind: oldKind, from: 99, at: 9, earlier: true},
	} {
		name := n.name("f.dat")
		got, ok := parse("f.dat", name)
		require.True(t, ok, name)
		require.Equal(t, n, *got)
		_, ok = parse("g.dat", name)
		require.False(t, ok, name)
	}
	for _, other := range []string{"f.dat", ".f.dat.ailee-tmp", ".f.dat.ailee-pruned", ".f.dat.ailee-old", ".f.dat.ailee-old-1", ".f.dat.ailee-old-1-2-3",
		".f.dat.ailee-old-01-2", ".f.dat.ailee-old--1-2", ".f.dat.ailee-back-1-2", ".f.dat.ailee-older-1-2", ".f.dat.ailee-old-1-2-3-4-5-6-7"} {
		_, ok := parse("f.dat", other)
		require.False(t, ok, other)
	}
}

// TestLeft: only the second names of the given file are listed.
func TestLeft(t *testing.T) {
	dir := t.TempDir()
	n := second{kind: oldKind, src: 1, from: 2, dst: 3, at: 4, gs: "5", gd: "6"}
	for _, name := range []string{"f", "g", n.name("f"), n.name("g"), ".f.ailee-tmp", ".f.ailee-old-7-8"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	left, err := Left(filepath.Join(dir, "f"))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{filepath.Join(dir, n.name("f")), filepath.Join(dir, ".f.ailee-old-7-8")}, left)
}

// TestSameBefore: a digest covers the bytes before a place, however long the file is.
func TestSameBefore(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer f.Close()
	text := strings.Repeat("a snapshot\n", 2*digestWindow/11)
	_, err = f.WriteString(text + "more")
	require.NoError(t, err)
	at := int64(len(text))
	want, err := digest(f, at)
	require.NoError(t, err)
	same := func() bool {
		ok, err := sameBefore(f, at, want)
		require.NoError(t, err)
		return ok
	}
	require.True(t, same())
	_, err = f.WriteAt([]byte("b"), at-digestWindow-1) // before the digest's window
	require.NoError(t, err)
	require.True(t, same())
	_, err = f.WriteAt([]byte("b"), at-digestWindow)
	require.NoError(t, err)
	require.False(t, same())
	require.NoError(t, f.Truncate(at-1))
	require.False(t, same())
}

// TestAppendOnly: what others append meanwhile is not overwritten.
func TestAppendOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, appendOnly(f))
	_, err = f.WriteString("one ")
	require.NoError(t, err)
	other, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = other.WriteString("two ")
	require.NoError(t, err)
	require.NoError(t, other.Close())
	_, err = f.WriteString("three")
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "one two three", string(text))
}

// TestDefaultWatch: the help promises that a process may be stopped for this long while it
// opens the file.
func TestDefaultWatch(t *testing.T) { require.Equal(t, 2*time.Second, DefaultWatch) }
