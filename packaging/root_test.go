package packaging

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A root is a separate Debian 12 in a folder. Programs in it have their own mounts and
// processes, and no network.
type root struct {
	t   *testing.T
	dir string
}

// newRoot makes a root of Debian's essential packages and a few more, from the mirror that this
// machine uses.
func newRoot(t *testing.T, packages ...string) root {
	mirror := strings.Fields(run(t, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm", "Created-By: Packages"))
	require.NotEmpty(t, mirror, "apt has no Debian 12")
	r := root{t, filepath.Join(t.TempDir(), "root")}
	run(t, "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--include="+strings.Join(packages, ","), "bookworm", r.dir, mirror[0])
	return r
}

// try runs a script with arguments in the root and returns what it prints, standard
// error included.
func (r root) try(script string, args ...string) (string, error) {
	c := exec.Command("unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--net", "--uts",
		"--root=" + r.dir, "--mount-proc", "--wd=/", "bash", "-euc", script, "bash"}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp/home", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	out, err := c.CombinedOutput()
	return string(out), err
}

// sh is try for a script that must not fail.
func (r root) sh(script string, args ...string) string {
	r.t.Helper()
	out, err := r.try(script, args...)
	require.NoError(r.t, err, "%s %s\n%s", script, args, out)
	return out
}

// path returns the path of a file of the root, as seen from outside.
func (r root) path(name string) string { return filepath.Join(r.dir, name) }

// files returns a description of each file and folder below a folder of the root.
func (r root) files(below string) map[string]string {
	r.t.Helper()
	found := map[string]string{}
	require.NoError(r.t, filepath.WalkDir(r.path(below), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			sum := sha256.Sum256(read(r.t, path))
			what += " " + hex.EncodeToString(sum[:])
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " " + target
		}
		found[strings.TrimPrefix(path, r.dir)] = what
		return nil
	}))
	return found
}

func run(t *testing.T, command string, args ...string) string {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", command, args, out)
	return string(out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// glob returns the files of the source that a pattern names.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pattern))
	require.NoError(t, err)
	return files
}

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var list []string
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}
