package durable_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
)

func requireOwner(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	require.Equal(t, [2]uint32{uid, gid}, [2]uint32{stat.Uid, stat.Gid}, path)
}

func TestParseOwner(t *testing.T) {
	for text, want := range map[string]durable.Owner{
		"0:0":             {Set: true},
		"12:34":           {Set: true, UID: 12, GID: 34},
		"root:34":         {Set: true, GID: 34},
		"12:root":         {Set: true, UID: 12},
		"root:root":       {Set: true},
		"nobody:12":       {Set: true, UID: 65534, GID: 12},
		"4294967294:1":    {Set: true, UID: 4294967294, GID: 1},
		"nobody:nogroup":  {Set: true, UID: 65534, GID: 65534},
		"65534:4000000:1": {},
		"":                {},
		":":               {},
		"root":            {},
		"root:":           {},
		":root":           {},
		"no-such-user:0":  {},
		"0:no-such-group": {},
	} {
		got, err := durable.ParseOwner(text)
		require.Equal(t, want.Set, err == nil, "%s: %v", text, err)
		require.Equal(t, want, got, text)
	}
}

// TestOwnerOf: the owner is that of the path, or of the nearest parent folder that exists.
func TestOwnerOf(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		owner, err := durable.OwnerOf(dir)
		require.NoError(t, err)
		require.Equal(t, durable.Owner{}, owner)
		return
	}
	file := filepath.Join(dir, "f")
	write(t, file, "")
	require.NoError(t, os.Chown(dir, 12, 34))
	require.NoError(t, os.Chown(file, 56, 78))
	for path, want := range map[string]durable.Owner{
		dir:                              {Set: true, UID: 12, GID: 34},
		file:                             {Set: true, UID: 56, GID: 78},
		filepath.Join(dir, "a", "b"):     {Set: true, UID: 12, GID: 34},
		filepath.Join(dir, "a", "b", ""): {Set: true, UID: 12, GID: 34},
	} {
		owner, err := durable.OwnerOf(path)
		require.NoError(t, err)
		require.Equal(t, want, owner, path)
	}
	_, err := durable.OwnerOf(filepath.Join(file, "below"))
	require.ErrorIs(t, err, unix.ENOTDIR)
}

// TestGive: files that a command makes for another user get that owner and the modes. What a
// link leads to is not changed.
func TestGive(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "")
	require.NoError(t, os.Chmod(outside, 0o604))
	owner := durable.Owner{}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if os.Geteuid() == 0 {
		owner = durable.Owner{Set: true, UID: 12, GID: 34}
		uid, gid = 12, 34
	}
	place := filepath.Join(t.TempDir(), "d")
	d, err := durable.CreateDir(place)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(d.Path, "deep"), 0o700))
	write(t, filepath.Join(d.Path, "deep", "f"), "")
	require.NoError(t, d.Give(owner))
	require.NoError(t, d.Commit())
	for path, mode := range map[string]os.FileMode{place: os.ModeDir | 0o750, place + "/deep": os.ModeDir | 0o750, place + "/deep/f": 0o640} {
		info, err := os.Lstat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), path)
		requireOwner(t, path, uid, gid)
	}
	d, err = durable.CreateDir(place + "2")
	require.NoError(t, err)
	defer d.Abort()
	require.NoError(t, os.Symlink(outside, filepath.Join(d.Path, "link")))
	_ = d.Give(owner)
	requireOwner(t, outside, uint32(os.Geteuid()), uint32(os.Getegid()))
	info, err := os.Stat(outside)
	require.NoError(t, err)
	require.EqualValues(t, 0o604, info.Mode())
}

// TestMakeAll: missing folders are created, and each gets its owner before it has its name.
func TestMakeAll(t *testing.T) {
	top := t.TempDir()
	made, err := durable.MakeAll(filepath.Join(top, "a", "b"), nil)
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(top, "a"), filepath.Join(top, "a", "b")}, made)
	made, err = durable.MakeAll(filepath.Join(top, "a", "b"), nil)
	require.NoError(t, err)
	require.Empty(t, made)

	deep := filepath.Join(top, "a", "c", "d")
	var given []string
	made, err = durable.MakeAll(deep, func(folder *os.File) error {
		given = append(given, folder.Name())
		require.NoDirExists(t, deep)
		return durable.Owner{}.GiveFolder(folder)
	})
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Dir(deep), deep}, made)
	require.Len(t, given, 2)
	info, err := os.Stat(deep)
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|0o750, info.Mode())

	refused := errors.New("refused")
	_, err = durable.MakeAll(filepath.Join(top, "e"), func(*os.File) error { return refused })
	require.ErrorIs(t, err, refused)
	require.Equal(t, []string{"a"}, names(t, top))
	write(t, filepath.Join(top, "f"), "")
	_, err = durable.MakeAll(filepath.Join(top, "f", "g"), nil)
	require.ErrorIs(t, err, unix.ENOTDIR)
}

// TestKeepAttributes: owner, mode and extended attributes are kept.
func TestKeepAttributes(t *testing.T) {
	dir := t.TempDir()
	src, err := os.Create(filepath.Join(dir, "src"))
	require.NoError(t, err)
	defer src.Close()
	dst, err := os.Create(filepath.Join(dir, "dst"))
	require.NoError(t, err)
	defer dst.Close()
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if os.Geteuid() == 0 {
		uid, gid = 1234, 2345
		require.NoError(t, src.Chown(int(uid), int(gid)))
	}
	require.NoError(t, src.Chmod(0o604|os.ModeSetgid))
	attributes := unix.Fsetxattr(int(src.Fd()), "user.origin", []byte("node-7"), 0) == nil
	require.NoError(t, durable.KeepAttributes(dst, src))
	requireOwner(t, dst.Name(), uid, gid)
	info, err := dst.Stat()
	require.NoError(t, err)
	require.Equal(t, 0o604|os.ModeSetgid, info.Mode())
	if attributes {
		value := make([]byte, 16)
		n, err := unix.Fgetxattr(int(dst.Fd()), "user.origin", value)
		require.NoError(t, err)
		require.Equal(t, "node-7", string(value[:n]))
	}
}

// TestKeepAttributesOfAnother: if the owner cannot be set, that is an error, and nobody gets
// more rights.
func TestKeepAttributesOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has files of another user")
	}
	dir := t.TempDir()
	open := func(name string, owner int) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		require.NoError(t, f.Chown(owner, owner))
		return f
	}
	const nobody = 65534
	src, dst := open("src", 1234), open("dst", nobody)
	require.NoError(t, src.Chmod(0o604))
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks it: the thread ends with the function
		if err := errors.Join(unix.Setfsgid(nobody), unix.Setfsuid(nobody)); err != nil {
			done <- err
			return
		}
		done <- durable.KeepAttributes(dst, src)
	}()
	err := <-done
	require.ErrorIs(t, err, durable.ErrOwner)
	require.ErrorContains(t, err, fmt.Sprintf("(user %d, group %d)", 1234, 1234))
	requireOwner(t, dst.Name(), nobody, nobody)
	info, err := dst.Stat()
	require.NoError(t, err)
	// The group of src could not read it, and would be among the others of dst.
	require.EqualValues(t, 0o600, info.Mode())
}

// TestAsUserOf: what is written in the folder of another user belongs to that user, and this
// process stays root. What only root can write stays as it is.
func TestAsUserOf(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	top, err := os.MkdirTemp("", "as-user-")
	require.NoError(t, err)
	defer os.RemoveAll(top)
	require.NoError(t, os.Chmod(top, 0o755))
	roots := filepath.Join(top, "roots")
	require.NoError(t, os.WriteFile(roots, nil, 0o600))
	for _, uid := range []uint32{0, 1234, 2345} {
		dir := filepath.Join(top, fmt.Sprint(uid))
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.Chown(dir, int(uid), int(uid)))
		path := filepath.Join(dir, "f")
		require.NoError(t, durable.AsUserOf(path, func(path string) error {
			f, err := durable.Create(path, 0o644)
			if err != nil {
				return err
			}
			_, err = os.Open(roots)
			require.Equal(t, uid != 0, errors.Is(err, os.ErrPermission), "%v", err)
			return f.Commit(true)
		}))
		requireOwner(t, path, uid, uid)
		require.Zero(t, os.Geteuid())
		_, err := os.Open(roots)
		require.NoError(t, err)
	}
	// A link to a folder of root's is followed as the user, who may not write there.
	require.NoError(t, os.Symlink(top, filepath.Join(top, "1234", "link")))
	require.NoError(t, os.Lchown(filepath.Join(top, "1234", "link"), 1234, 1234))
	path := filepath.Join(top, "1234", "link", "planted")
	require.ErrorIs(t, durable.AsUserOf(path, func(path string) error { return os.WriteFile(path, nil, 0o600) }), os.ErrPermission)
	require.NoFileExists(t, filepath.Join(top, "planted"))
	// A folder that its user cannot reach by name, such as the volume of a container.
	require.NoError(t, os.Chmod(top, 0o700))
	path = filepath.Join(top, "1234", "g")
	require.NoError(t, durable.AsUserOf(path, func(path string) error {
		f, err := durable.Create(path, 0o644)
		if err != nil {
			return err
		}
		return f.Commit(true)
	}))
	requireOwner(t, path, 1234, 1234)
}
