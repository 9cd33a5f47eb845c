// Command matrix gets the RocksDB packages of each Debian release from a mirror, unpacks them
// without installing them, and builds the node in node/node.cc with each. It prints the paths
// of the nodes, separated by colons; each is next to the root of its release and runs by
// itself. Everything is kept in the user's cache folder.
//
// MIRROR is the mirror's URL, by default the one that apt is configured with. apt checks the
// signatures of what it downloads.
package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

func main() {
	nodes, err := nodes()
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix: error:", err)
		fmt.Fprintln(os.Stderr, "matrix: hint:", hint(err))
		os.Exit(1)
	}
	fmt.Println(strings.Join(nodes, string(os.PathListSeparator)))
}

// hint says what to do about an error.
func hint(err error) string {
	if errors.Is(err, exec.ErrNotFound) {
		return "as root: make deps-test"
	}
	if errors.Is(err, errMirror) {
		return "check that the Debian mirror can be reached, or name another: make matrix MIRROR=http://deb.debian.org/debian"
	}
	return "the folder can be removed; it is made again"
}

var errMirror = errors.New("cannot download from the mirror")

// release is a release of Debian.
type release struct {
	name    string
	library string // the package with RocksDB
	// cxx is the version of the C++ library's headers: the release's own or older ones, since
	// the compiler of this machine, Debian 12 or later, has to compile them.
	cxx string
}

var releases = []release{
	{"bullseye", "librocksdb6.11", "10"},
	{"bookworm", "librocksdb7.8", "12"},
	{"trixie", "librocksdb9.10", "12"},
}

// headers returns the packages that a program is compiled with, without the dependencies that
// it does not need: compilers, sanitizers, documentation.
func (r release) headers() []string {
	return []string{"librocksdb-dev", "libc6-dev", "linux-libc-dev", "libstdc++-" + r.cxx + "-dev"}
}

// nodes downloads all releases in parallel, and builds their nodes.
func nodes() ([]string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	mirror, err := mirror()
	if err != nil {
		return nil, err
	}
	nodes, errs := make([]string, len(releases)), make([]error, len(releases))
	var all sync.WaitGroup
	for i, r := range releases {
		all.Go(func() { nodes[i], errs[i] = r.node(filepath.Join(cache, "ailee-recovery", "matrix"), mirror) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err // usually all fail for the same reason
		}
	}
	return nodes, nil
}

// mirror returns the URL of the mirror: the one in MIRROR, or the one of apt.
func mirror() (string, error) {
	if named := os.Getenv("MIRROR"); named != "" {
		return named, nil
	}
	lines, err := run(nil, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(lines) {
		// The others are for security updates or third-party packages.
		if u, err := url.Parse(strings.TrimSpace(line)); err == nil && path.Base(u.Path) == "debian" {
			return u.String(), nil
		}
	}
	return "http://deb.debian.org/debian", nil
}

// node returns the path of the node of a release, which it builds if there is none.
func (r release) node(cache, mirror string) (string, error) {
	dir := filepath.Join(cache, r.name+"-"+digest(r.library+strings.Join(r.headers(), " ")+layout))
	root := filepath.Join(dir, "root")
	if _, err := os.Stat(dir); err != nil {
		if err := r.get(dir, mirror); err != nil {
			return "", fmt.Errorf("%s: %w", r.name, err)
		}
	}
	flags := r.flags(root)
	node := filepath.Join(dir, "node-"+digest(source+strings.Join(flags, " ")))
	if _, err := os.Stat(node); err == nil {
		return node, nil
	}
	building, err := os.MkdirTemp(dir, "node-*.tmp")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(building)
	made := filepath.Join(building, "node")
	if _, err := run(strings.NewReader(source), "g++", append(flags, "-o", made)...); err != nil {
		return "", fmt.Errorf("%s: %w", r.name, err)
	}
	return node, os.Rename(made, node)
}

//go:embed node/node.cc
var source string

// digest distinguishes versions of what is cached.
func digest(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:12] }

// get makes the folder of a release, completely or not at all.
func (r release) get(dir, mirror string) error {
	cache := filepath.Dir(dir)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	making, err := os.MkdirTemp(cache, r.name+"-*.tmp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(making)
	if err := os.Chmod(making, 0o755); err != nil {
		return err
	}
	packages, err := r.download(making, mirror)
	if err != nil {
		return err
	}
	if err := unpack(filepath.Join(making, "root"), packages); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(making, "apt")); err != nil {
		return err
	}
	if err := os.Rename(making, dir); err != nil && !errors.Is(err, os.ErrExist) { // another run was faster
		return err
	}
	return nil
}

// download gets the packages and all libraries that RocksDB needs, with an apt that uses
// separate folders.
func (r release) download(dir, mirror string) ([]string, error) {
	apt := filepath.Join(dir, "apt")
	archives := filepath.Join(apt, "archives")
	for _, folder := range []string{filepath.Join(apt, "lists", "partial"), filepath.Join(archives, "partial")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(apt, "apt.conf")
	for name, text := range map[string]string{
		filepath.Join(apt, "status"): "",
		filepath.Join(apt, "sources.list"): fmt.Sprintf("deb [arch=amd64 target=Packages signed-by=%s] %s %s main\n",
			keyring, mirror, r.name),
		config: fmt.Sprintf(aptConfig, apt),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	get := []string{"apt-get", "--config-file=" + config, "--quiet=2", "--assume-yes"}
	for _, args := range [][]string{
		{"update"},
		{"install", "--download-only", "--no-install-recommends", r.library, "libstdc++6"},
		append([]string{"download"}, r.headers()...),
	} {
		if _, err := runIn(archives, nil, get[0], append(get[1:], args...)...); err != nil {
			if errors.Is(err, exec.ErrNotFound) {
				return nil, err
			}
			return nil, fmt.Errorf("%w %s: %w", errMirror, mirror, err)
		}
	}
	return filepath.Glob(filepath.Join(archives, "*.deb"))
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// aptConfig is read last, so that this machine's network settings still apply. Its hooks are
// cleared: they are for packages that are installed here.
const aptConfig = `Dir::State "%[1]s";
Dir::State::lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Cache "%[1]s";
Dir::Cache::archives "%[1]s/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
`

// layout is part of the name of what is cached: a new layout makes everything again.
const layout = "2"

// unpack unpacks packages into a root in which, as in an installed system, /lib is /usr/lib.
// It leaves out what no program needs: documentation, and static libraries except for the part
// of the C library that is always static.
func unpack(root string, packages []string) error {
	for _, name := range []string{"lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join("usr", name), filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for _, name := range packages {
		files := exec.Command("dpkg-deb", "--fsys-tarfile", name)
		var said bytes.Buffer
		files.Stderr = &said
		tar, err := files.StdoutPipe()
		if err != nil {
			return err
		}
		if err := files.Start(); err != nil {
			return err
		}
		_, err = run(tar, "tar", "-C", root, "-x", "--no-same-owner", "--keep-directory-symlink", "--exclude=./usr/share",
			"--exclude=librocksdb.a", "--exclude=libstdc++*.a", "--exclude=libc.a", "--exclude=libm-*.a")
		if ended := files.Wait(); ended != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(name), ended, strings.TrimSpace(said.String()))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return relink(root)
}

// relink makes absolute links lead to their targets within the root.
func relink(root string) error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type() != fs.ModeSymlink {
			return err
		}
		target, err := os.Readlink(name)
		if err != nil || !filepath.IsAbs(target) {
			return err
		}
		if target, err = filepath.Rel(filepath.Dir(name), filepath.Join(root, target)); err != nil {
			return err
		}
		return errors.Join(os.Remove(name), os.Symlink(target, name))
	})
}

// libraries is their folder in a root; older packages have some in the folder above.
const libraries = "usr/lib/x86_64-linux-gnu"

// flags returns the compiler flags that compile and link the node with only a release's headers
// and libraries; the compiler is the machine's. The node records which libraries to run with.
func (r release) flags(root string) []string {
	lib, cxx := filepath.Join(root, libraries), filepath.Join(root, "usr/include/c++", r.cxx)
	return []string{
		"-std=c++17", "-Wall", "--sysroot=" + root,
		"-nostdinc++", "-isystem", cxx, "-isystem", filepath.Join(root, "usr/include/x86_64-linux-gnu/c++", r.cxx), "-isystem", filepath.Join(cxx, "backward"),
		"-x", "c++", "-", "-x", "none",
		"-nodefaultlibs", "-L" + lib, "-L" + filepath.Dir(lib), "-lrocksdb", filepath.Join(lib, "libstdc++.so.6"), filepath.Join(lib, "libgcc_s.so.1"), "-lm", "-lc", "-lgcc",
		"-Wl,--dynamic-linker=" + filepath.Join(lib, "ld-linux-x86-64.so.2"), "-Wl,-rpath=" + lib + ":" + filepath.Dir(lib),
		// So that the libraries find each other in the same folder.
		"-Wl,--disable-new-dtags",
	}
}

// run runs a command in the current folder, and runIn in another. The error has one line of
// what the command printed.
func run(in io.Reader, command string, args ...string) (string, error) {
	return runIn("", in, command, args...)
}

func runIn(dir string, in io.Reader, command string, args ...string) (string, error) {
	c := exec.Command(command, args...)
	// The output is parsed.
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	c.Dir, c.Stdin = dir, in
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w%s", command, err, firstError(said.String()))
	}
	return out.String(), nil
}

// firstError returns the first line that apt, a compiler or a linker marks as an error, or else
// the first line.
func firstError(said string) string {
	for line := range strings.Lines(said) {
		if rest, ok := strings.CutPrefix(line, "E: "); ok || strings.Contains(line, "error: ") || strings.Contains(line, "/ld: ") {
			return ": " + strings.TrimSpace(rest)
		}
	}
	line, _, _ := strings.Cut(said, "\n")
	if line != "" {
		line = ": " + line
	}
	return line
}
