package restore_test

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/golden"
)

// TestFormsOfSources: the content of a source decides what it is, not its name.
func TestFormsOfSources(t *testing.T) {
	clitest.InMemory(t)
	from := nodeDir(t, 3)
	file, db := filepath.Join(from, "l2_snapshots.dat"), filepath.Join(from, "reorg_db")
	want, records := clitest.Read(t, file), reorgtest.Records(t, db)
	made := t.TempDir()
	shell := func(command string) {
		t.Helper()
		cmd := exec.Command("sh", "-ec", command)
		cmd.Dir = made
		said, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", said)
	}
	t.Setenv("FROM", from)
	for name, command := range map[string]string{
		"plain": "cat $FROM/l2_snapshots.dat", "gzip": "gzip -c $FROM/l2_snapshots.dat", "zstd": "zstd -c $FROM/l2_snapshots.dat",
		"tar": "tar -C $FROM -cf - l2_snapshots.dat", "tar in gzip": "tar -C $FROM -czf - ./l2_snapshots.dat",
	} {
		t.Run("snapshots, "+name, func(t *testing.T) {
			shell(command + " > source")
			dir := t.TempDir()
			code, _, stderr := run(t, start, dir, "--snapshot-backup", filepath.Join(made, "source"))
			require.Zero(t, code, stderr)
			require.Equal(t, want, clitest.Read(t, filepath.Join(dir, "l2_snapshots.dat")))
			require.Equal(t, []string{"l2_snapshots.dat"}, clitest.Names(t, dir))
		})
	}
	// Two windows: one that zstd allows, and one that it only allows if it is told to.
	shell("zstd -c --long=27 < $FROM/l2_snapshots.dat > source && zstd -c --long=28 < $FROM/l2_snapshots.dat > large && tar -C $FROM -c reorg_db | zstd -c --long=28 > large.tar.zst")
	code, _, stderr := run(t, start, t.TempDir(), "--snapshot-backup", filepath.Join(made, "source"))
	require.Zero(t, code, stderr)
	for flag, name := range map[string]string{"--snapshot-backup": "large", "--db-backup": "large.tar.zst"} {
		code, _, stderr = run(t, start, t.TempDir(), flag, filepath.Join(made, name))
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, "error: "+filepath.Join(made, name)+" cannot be read: unpacking it takes more than 134217728 bytes of memory\n"+
			"ailee-restore: hint: unpack it first: zstd -dc --long=31 < FILE > UNPACKED\n")
	}
	for form, top := range map[string]string{"": "reorg_db", "flat, ": "-C reorg_db .", "flat by names, ": "-C reorg_db $(ls $FROM/reorg_db)", "dot, ": "./reorg_db"} {
		for name, command := range map[string]string{"tar": "cat", "gzip": "gzip", "zstd": "zstd"} {
			t.Run("database, "+form+name, func(t *testing.T) {
				shell("tar -C $FROM -cf - " + top + " | " + command + " > source")
				requireRestored(t, filepath.Join(made, "source"), records)
			})
		}
	}
	t.Run("database, folder", func(t *testing.T) { requireRestored(t, db, records) })
	// A folder with a link in it may lead to any file.
	linked := filepath.Join(t.TempDir(), "reorg_db")
	require.NoError(t, os.CopyFS(linked, os.DirFS(db)))
	require.NoError(t, os.Symlink(file, filepath.Join(linked, "000099.log")))
	code, _, stderr = run(t, start, t.TempDir(), "--db-backup", linked)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "error: "+linked+" cannot be restored: \"000099.log\" in it is not a regular file that the folder's owner owns\n"+
		"ailee-restore: hint: name a folder that holds only a database\n")
	require.NoError(t, os.Remove(filepath.Join(linked, "000099.log")))
	requireRestored(t, linked, records)
	// The live file is its own source.
	shell("gzip -c $FROM/l2_snapshots.dat > packed && mv packed $FROM/l2_snapshots.dat")
	code, _, stderr = run(t, start, from, "--snapshot-backup", file)
	require.Zero(t, code, stderr)
	require.Equal(t, want, clitest.Read(t, file))
}

func requireRestored(t *testing.T, source string, want map[string]string) {
	t.Helper()
	dir := t.TempDir()
	code, _, stderr := run(t, start, dir, "--db-backup", source)
	require.Zero(t, code, stderr)
	require.Equal(t, []string{"reorg_db"}, clitest.Names(t, dir))
	require.Equal(t, want, reorgtest.Records(t, filepath.Join(dir, "reorg_db")))
}

// TestHostileArchives: no archive writes outside the folder, and none of them is restored.
func TestHostileArchives(t *testing.T) {
	clitest.InMemory(t)
	db := filepath.Join(nodeDir(t, 0), "reorg_db")
	archive := func(path string, more ...tar.Header) {
		t.Helper()
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range clitest.Names(t, db) {
			text := clitest.Read(t, filepath.Join(db, name))
			require.NoError(t, w.WriteHeader(&tar.Header{Name: "reorg_db/" + name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg}))
			_, err := w.Write([]byte(text))
			require.NoError(t, err)
		}
		for _, h := range more {
			require.NoError(t, w.WriteHeader(&h))
			_, err := w.Write(make([]byte, h.Size))
			require.NoError(t, err)
		}
		require.NoError(t, w.Close())
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	}
	outside := filepath.Join(t.TempDir(), "outside")
	for name, h := range map[string]tar.Header{
		"link":            {Name: "reorg_db/x", Linkname: outside, Typeflag: tar.TypeSymlink},
		"hard link":       {Name: "reorg_db/x", Linkname: "reorg_db/CURRENT", Typeflag: tar.TypeLink},
		"device":          {Name: "reorg_db/x", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		"pipe":            {Name: "reorg_db/x", Typeflag: tar.TypeFifo},
		"absolute":        {Name: outside, Typeflag: tar.TypeReg, Size: 3},
		"folder above":    {Name: "reorg_db/../../outside", Typeflag: tar.TypeReg, Size: 3},
		"twice":           {Name: "reorg_db/CURRENT", Typeflag: tar.TypeReg, Size: 3},
		"twice, by a dot": {Name: "./reorg_db/CURRENT", Typeflag: tar.TypeReg, Size: 3},
	} {
		t.Run(name, func(t *testing.T) {
			source := filepath.Join(t.TempDir(), "source")
			archive(source, h)
			for _, there := range []bool{false, true} {
				dir := t.TempDir()
				if there {
					require.NoError(t, os.CopyFS(filepath.Join(dir, "reorg_db"), os.DirFS(db)))
				}
				before := clitest.Contents(t, dir)
				code, _, stderr := run(t, start, dir, "--force", "--db-backup", source)
				require.Equal(t, 2, code, stderr)
				require.Contains(t, stderr, "error: "+source+" cannot be restored: ")
				require.Equal(t, before, clitest.Contents(t, dir))
				require.NoFileExists(t, outside)
			}
		})
	}
	// A tar of a link to the database holds no database.
	dir := t.TempDir()
	require.NoError(t, os.Symlink(db, filepath.Join(dir, "reorg_db")))
	pack(t, dir, filepath.Join(dir, "hand.tar.gz"), "reorg_db")
	code, _, stderr := run(t, start, dir, "--force", "--db-backup", filepath.Join(dir, "hand.tar.gz"))
	require.Equal(t, 2, code, stderr)
	require.NotEmpty(t, reorgtest.Records(t, filepath.Join(dir, "reorg_db")))
}

// TestSourceInUse: a folder that a node has open is refused as a source: a copy of it would mix
// several states.
func TestSourceInUse(t *testing.T) {
	t.Parallel()
	db := golden.Database(t, "node-rocksdb-6.11.4")
	stop, err := reorgtest.StartNode(db)
	require.NoError(t, err)
	dir := t.TempDir()
	code, _, stderr := run(t, start, dir, "--db-backup", db)
	require.NoError(t, stop())
	require.Equal(t, 1, code)
	require.Regexp(t, strings.ReplaceAll(db, "/", "/")+` is in use by ailee_node \(pid [0-9]+\)`, stderr)
	require.Contains(t, stderr, "ailee_init_reorg_db --path ")
	require.Empty(t, clitest.Names(t, dir))
}
