package durable

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestReadOnlyMount: a mount that is read-only for a unit is distinguished from a file system
// that is read-only for all.
func TestReadOnlyMount(t *testing.T) {
	const table = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 8:1 / / ro,relatime - ext4 /dev/sda1 rw
31 30 8:1 /var/lib/ailee /var/lib/ailee rw,relatime - ext4 /dev/sda1 rw
32 30 8:2 / /mnt/with\040space ro,relatime - ext4 /dev/sdb1 ro,errors=remount-ro
`
	for path, want := range map[string]struct {
		at    string
		alone bool
	}{
		"/":                       {"/", true},
		"/var/lib":                {"/", true},
		"/var/lib/ailee":          {"/var/lib/ailee", false},
		"/var/lib/ailee/reorg_db": {"/var/lib/ailee", false},
		"/var/lib/ailee2":         {"/", true},
		"/mnt/with space/x":       {"/mnt/with space", false},
	} {
		at, alone := readOnlyMount(table, path)
		require.Equal(t, want.at, at, path)
		require.Equal(t, want.alone, alone, path)
	}
	at, alone := readOnlyMount("", "/x")
	require.Equal(t, "/", at)
	require.False(t, alone)
}

func TestUnitIn(t *testing.T) {
	for groups, want := range map[string]string{
		"0::/system.slice/ailee-backup.service\n":                                 "ailee-backup.service",
		"1:name=systemd:/system.slice/ailee-backup.service\n0::/\n":               "ailee-backup.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                           "",
		"0::/user.slice/user-0.slice/user@0.service/app.slice/app-term.service\n": "",
		"0::/system.slice/docker-0123.scope\n":                                    "",
		"0::/system.slice/system-ailee\\x2dbackup.slice/ailee-backup@a.service\n": "ailee-backup@a.service",
		"": "",
	} {
		require.Equal(t, want, unitIn(groups), groups)
	}
}

func TestReadOnlyHint(t *testing.T) {
	dir := t.TempDir()
	err := &fs.PathError{Op: "open", Path: filepath.Join(dir, "missing", "file"), Err: unix.EROFS}
	require.Equal(t, dir, folderOf(err))
	table := "30 21 8:1 / " + dir + " ro - ext4 /dev/sda1 rw\n"
	require.Equal(t, "the unit may not write there: systemctl edit ailee-backup.service, and add under [Service]: ReadWritePaths="+dir,
		readOnlyHintFor(table, "0::/system.slice/ailee-backup.service\n", dir))
	require.Equal(t, "this process may not write there, while others may: let its container or sandbox write to "+dir, readOnlyHintFor(table, "", dir))
	require.Equal(t, "the file system is read-only, perhaps after a disk error: see dmesg --level=err; then mount -o remount,rw "+dir,
		readOnlyHintFor("30 21 8:1 / "+dir+" ro - ext4 /dev/sda1 ro\n", "0::/system.slice/ailee-backup.service\n", dir))
	require.Contains(t, Hint(err), "rea") // by the tables of this machine
}

func TestHintNamesTheFolder(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, "free some space, then run the command again; see what is left: df -h "+dir,
		Hint(&fs.PathError{Op: "write", Path: filepath.Join(dir, "file"), Err: unix.ENOSPC}))
	require.Equal(t, "free some space, then run the command again; see what is left: df -h "+dir,
		Hint(&os.LinkError{Op: "rename", Old: "a", New: filepath.Join(dir, "file"), Err: unix.ENOSPC}))
	for _, own := range []string{".new.ailee-tmp", ".ailee_extract-staging", ".ailee-backup.tmp"} {
		inside := filepath.Join(dir, own, "deep")
		require.NoError(t, os.MkdirAll(inside, 0o755))
		require.Equal(t, "free some space, then run the command again; see what is left: df -h "+dir,
			Hint(&fs.PathError{Op: "write", Path: filepath.Join(inside, "file"), Err: unix.ENOSPC}))
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	require.Equal(t, "the folder for temporary files, "+filepath.Join(dir, "none")+", is missing: make it, or name another: export TMPDIR=/var/tmp",
		Hint(&fs.PathError{Op: "open", Path: filepath.Join(dir, "none", ".ailee-x"), Err: unix.ENOENT}))
}

// TestHints: what cannot be provoked on every machine has its hint, too.
func TestHints(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	const noRoom = "temporary files cannot be written to %s: name another folder: export TMPDIR=DIR"
	inTemp := func(errno unix.Errno) error {
		return fmt.Errorf("sort: %w", &fs.PathError{Op: "write", Path: filepath.Join(temp, ".ailee-x"), Err: errno})
	}
	for _, c := range []struct {
		err  error
		hint string
	}{
		{&fs.PathError{Op: "replace", Path: "f", Err: ErrMountPoint}, "write next to the mount point and copy the result into it, or mount its parent folder instead"},
		{fmt.Errorf("%w with id 7", ErrUser), "run it as that user"},
		{inTemp(unix.ENOSPC), fmt.Sprintf(noRoom, temp)},
		{inTemp(unix.EDQUOT), fmt.Sprintf(noRoom, temp)},
		{inTemp(unix.EROFS), fmt.Sprintf(noRoom, temp)},
		{unix.EMFILE, "raise the limit on open files: ulimit -n 65536, or LimitNOFILE=65536 in the unit of a service"},
		{unix.ENFILE, "raise the system-wide limit on open files: sysctl -w fs.file-max=1000000"},
		{unix.EINVAL, "the file system does not support this: use another, such as ext4 or XFS"},
		{unix.ENOSYS, "the file system does not support this: use another, such as ext4 or XFS"},
		{unix.EOPNOTSUPP, "the file system does not support this: use another, such as ext4 or XFS"},
	} {
		require.Equal(t, c.hint, Hint(fmt.Errorf("x: %w", c.err)), "%v", c.err)
	}
}

// TestPermissionHint: the hint depends on who may not, and on whether the owner is known.
func TestPermissionHint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root becomes another user")
	}
	require.Equal(t, "even root may not: look for attributes with lsattr, a network file system that maps root to nobody, or dropped capabilities", Hint(unix.EPERM))
	require.NoError(t, syscall.Setreuid(-1, nobody))
	hint := Hint(unix.EPERM)
	require.NoError(t, syscall.Setreuid(-1, 0))
	require.Equal(t, "run it as the owner of the folder, or as root", hint)
}
