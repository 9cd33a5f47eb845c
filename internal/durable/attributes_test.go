package durable_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
)

const list, defaultList = "system.posix_acl_access", "system.posix_acl_default"

// accessList returns an access list with rights for owner, a user, group, mask and others.
func accessList(owner, user, group, mask, others uint16) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, rights uint16
		id          uint32
	}{{0x01, owner, 1<<32 - 1}, {0x02, user, 1}, {0x04, group, 1<<32 - 1}, {0x10, mask, 1<<32 - 1}, {0x20, others, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.rights)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

func attribute(t *testing.T, path, name string) []byte {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(path, name, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	require.NoError(t, err)
	return buf[:n]
}

// setList gives a file or folder an access list, or skips the test if there are none.
func setList(t *testing.T, path, name string, value []byte) {
	t.Helper()
	err := unix.Setxattr(path, name, value, 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system has no access lists")
	}
	require.NoError(t, err)
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode()
}

// replace replaces a file with a new one that gets its attributes, and returns the error of
// what could not be kept.
func replace(t *testing.T, path string) error {
	t.Helper()
	src, err := os.Open(path)
	require.NoError(t, err)
	defer src.Close()
	return replaceBy(t, path, src)
}

func replaceBy(t *testing.T, path string, src *os.File) error {
	t.Helper()
	f, err := durable.Create(path, 0o600)
	require.NoError(t, err)
	defer f.Abort()
	lost := durable.KeepAttributes(f.File, src)
	require.NoError(t, f.Commit(true))
	return lost
}

func TestAttributesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	want := accessList(6, 6, 4, 6, 0)
	setList(t, path, list, want)
	require.NoError(t, unix.Setxattr(path, "user.origin", []byte("node-7"), 0))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(path, 1234, 2345))
	}
	for range 2 { // the second time from a file that got them
		require.NoError(t, replace(t, path))
		require.Equal(t, want, attribute(t, path, list))
		require.Equal(t, "node-7", string(attribute(t, path, "user.origin")))
		require.Equal(t, os.FileMode(0o660), mode(t, path))
	}
}

// TestFolderGivesNobodyMore: a new file does not keep the default access list of its folder.
func TestFolderGivesNobodyMore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(path, nil, 0o640))
	setList(t, dir, defaultList, accessList(7, 7, 7, 7, 7))
	require.NoError(t, replace(t, path))
	require.Nil(t, attribute(t, path, list))
	require.Equal(t, os.FileMode(0o640), mode(t, path))
}

// TestGroupGetsNoMoreThanItHad: the new file cannot have an access list. The group bits of the
// old one are then not the rights of the group.
func TestGroupGetsNoMoreThanItHad(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("ramfs", dir, "ramfs", 0, ""); err != nil {
		t.Skipf("no file system without access lists: %v", err)
	}
	defer func() { require.NoError(t, unix.Unmount(dir, 0)) }()
	source := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(source, nil, 0o600))
	setList(t, source, list, accessList(6, 6, 4, 6, 0))
	require.Equal(t, os.FileMode(0o660), mode(t, source))
	src, err := os.Open(source)
	require.NoError(t, err)
	defer src.Close()
	path := filepath.Join(dir, "g")
	require.ErrorIs(t, replaceBy(t, path, src), durable.ErrAttributes)
	require.Equal(t, os.FileMode(0o640), mode(t, path))
}

// TestOwnerThatCannotBeKept: a user who was not in the group of the file gets no rights from
// the group of the new one.
func TestOwnerThatCannotBeKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	for _, c := range []struct{ before, after os.FileMode }{{0o640, 0o600}, {0o644, 0o644}, {0o604, 0o600}, {0o755 | os.ModeSetuid, 0o755}} {
		path := filepath.Join(dir, "f")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chmod(path, c.before))
		src, err := os.Open(path)
		require.NoError(t, err)
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocks it: the thread ends with the function
			if err := errors.Join(unix.Setfsuid(65534), unix.Setfsgid(65534)); err != nil {
				done <- err
				return
			}
			f, err := durable.Create(path, 0o600)
			if err != nil {
				done <- err
				return
			}
			lost := durable.KeepAttributes(f.File, src)
			if !errors.Is(lost, durable.ErrOwner) {
				err = fmt.Errorf("lost: %w", lost)
			}
			done <- errors.Join(err, f.Commit(true))
		}()
		require.NoError(t, <-done)
		require.NoError(t, src.Close())
		require.Equal(t, c.after, mode(t, path), "%s", c.before)
		require.NoError(t, os.Remove(path))
	}
}

// TestDeviceIsNotReplaced: root may name /dev/null as output, and does not want a file there.
func TestDeviceIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "null")
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Skipf("only root makes devices: %v", err)
	}
	f, err := durable.Create(path, 0o600)
	require.NoError(t, err)
	require.ErrorIs(t, f.Commit(true), durable.ErrNotRegular)
	f.Abort()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NotZero(t, entries[0].Type()&fs.ModeDevice)
}
