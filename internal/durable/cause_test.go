package durable

import (
	"io/fs"
	"os"
	"path/filepath"
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
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	require.Equal(t, "the folder for temporary files, "+filepath.Join(dir, "none")+", is missing: make it, or name another: export TMPDIR=/var/tmp",
		Hint(&fs.PathError{Op: "open", Path: filepath.Join(dir, "none", ".ailee-x"), Err: unix.ENOENT}))
}
