// Package packaging has the tests of the release: `make package` runs them.
package packaging

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// release returns the only file with this pattern in the folder that an environment variable names.
func release(t *testing.T, variable, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(os.Getenv(variable), pattern))
	require.NoError(t, err)
	require.Len(t, files, 1, "%s in %s=%s: run make package", pattern, variable, os.Getenv(variable))
	return files[0]
}

// alias is the recovery guide's name for aliased.
const alias, aliased = "test_recovery.sh", "ailee-drill"

// commands returns the names of all commands that an operator can call.
func commands(t *testing.T) []string { return append(tools(t), alias) }

func tools(t *testing.T) []string {
	var names []string
	for _, dir := range glob(t, "cmd/*") {
		names = append(names, filepath.Base(dir))
	}
	require.NotEmpty(t, names)
	return names
}

// installed maps each source file that is installed unchanged to its name below the prefix.
func installed(t *testing.T) map[string]string {
	files := map[string]string{"../scripts/" + alias: "bin/" + alias}
	for pattern, dir := range map[string]string{
		"completions/bash/*": "share/bash-completion/completions", "completions/fish/*": "share/fish/vendor_completions.d",
		"*.md": "share/doc/ailee-recovery", "docs/*.md": "share/doc/ailee-recovery/docs",
		"packaging/monitoring/*": "share/doc/ailee-recovery/monitoring", "docs/commands/*": "share/doc/ailee-recovery/docs/commands", "docs/schema/*.json": "share/doc/ailee-recovery/docs/schema",
	} {
		for _, file := range glob(t, pattern) {
			files[file] = dir + "/" + filepath.Base(file)
		}
	}
	return files
}

// TestDebianPackage takes the package through its life on a machine with a node's data, from
// an older version to its purge. Each step continues from the one before.
func TestDebianPackage(t *testing.T) {
	r := newRoot(t, "man-db", "bash-completion", "zsh", "fish")
	run(t, "cp", release(t, "OLDER", "*.deb"), r.path("older.deb"))
	run(t, "cp", release(t, "DIST", "*.deb"), r.path("new.deb"))
	require.True(t, t.Run("says that the user is missing", func(t *testing.T) {
		r := root{t, r.dir}
		assert.Contains(t, r.sh("dpkg --install /new.deb 2>&1"), "ailee-recovery: warning: there is no user ailee, which ailee-backup.service and ailee-monitor.service run as\n")
		r.sh("dpkg --purge ailee-recovery; rm -rf /var/lib/systemd/deb-systemd-helper*")
	}))
	// The node's user and data.
	r.sh(`echo 'ailee:x:900:900::/var/lib/ailee:/bin/bash' >>/etc/passwd; echo 'ailee:x:900:' >>/etc/group; mkdir /var/lib/ailee`)
	run(t, "cp", "../testdata/golden/verify/pegin_ok.dat", r.path("var/lib/ailee/l2_snapshots.dat"))
	run(t, "tar", "-C", r.path("var/lib/ailee"), "-xzf", "../testdata/golden/reorg_db/node-rocksdb-7.8.3-reopened.tar.gz")
	r.sh(`cd /var/lib/ailee; mv node-* reorg_db; chown -R ailee:ailee .; chmod 700 .`)
	before := r.files("/")

	require.True(t, t.Run("installs", func(t *testing.T) {
		r := root{t, r.dir}
		installed := r.sh("dpkg --install /older.deb")
		assert.Contains(t, r.sh("ailee_l2_verify --version"), "v0~0.1")
		assert.Empty(t, r.sh("dpkg --verify ailee-recovery"))
		assert.Empty(t, glob(t, r.path("etc/systemd/system/*/ailee-*")), "the timers are off")
		assert.NotContains(t, installed, "no user ailee")
		assert.Contains(t, installed, "ailee-recovery: check the node: ailee-doctor\n")
		for _, name := range tools(t) {
			assert.Contains(t, r.sh("$1 --version", name), name)
		}
	}))
	require.True(t, t.Run("upgrades", func(t *testing.T) {
		r := root{t, r.dir}
		// The second line is what systemctl enable does.
		r.sh(`echo BACKUP_OPTIONS=--compress >>/etc/default/ailee-recovery
			mkdir -p /etc/systemd/system/timers.target.wants; ln -s /usr/lib/systemd/system/ailee-backup.timer $_`)
		assert.NotRegexp(t, "downgrading|check the node", r.sh("dpkg --install /new.deb"))
		assert.NotContains(t, r.sh("ailee_l2_verify --version"), "v0~0.1")
		assert.Contains(t, r.sh("cat /etc/default/ailee-recovery"), "BACKUP_OPTIONS=--compress", "what the operator set stays")
		assert.Contains(t, r.sh("ls /etc/systemd/system/timers.target.wants"), "ailee-backup.timer", "and what the operator enabled")
		assert.NotContains(t, r.sh("ls /etc/systemd/system/timers.target.wants"), "ailee-monitor.timer")
		assert.Equal(t, before["/var/lib/ailee/l2_snapshots.dat"], r.files("/var/lib/ailee")["/var/lib/ailee/l2_snapshots.dat"])
	}))
	t.Run("has what the source has", func(t *testing.T) { hasTheSource(root{t, r.dir}) })
	t.Run("is one program", func(t *testing.T) {
		r := root{t, r.dir}
		assert.Empty(t, r.sh("find /usr/bin -lname '*ailee*' -xtype l"), "broken links")
		for _, name := range tools(t) {
			assert.Equal(t, "/usr/bin/ailee\n", r.sh("readlink -f /usr/bin/$1", name))
		}
		assert.Less(t, bytesOf(t, r.sh("dpkg --listfiles ailee-recovery | xargs -d '\\n' stat -c '%F:%s'")), int64(maxInstalled))
	})
	t.Run("works", func(t *testing.T) {
		r := root{t, r.dir}
		r.sh(`ailee_init_node --data-dir /tmp/node
			ailee_l2_verify --snapshot /tmp/node/l2_snapshots.dat
			ailee_reorg_verify --db-path /tmp/node/reorg_db
			ailee_init_reorg_db --path /tmp/copy --copy-from /var/lib/ailee/reorg_db
			rm -r /tmp/node /tmp/copy`)
		// As cron and the units call them.
		as := "setpriv --reuid=ailee --regid=ailee --clear-groups "
		assert.Empty(t, r.sh(as+"ailee-backup --compress"))
		assert.Empty(t, r.sh(as+"ailee-monitor --max-snapshot-age 1000000"))
		assert.Contains(t, r.sh(as+"ailee-restore --dry-run"), "l2_snapshots.dat is sound and lacks nothing, left alone\n")
		r.sh("cd /tmp; test_recovery.sh --mode corruption --corrupt-snapshot")
	})
	t.Run("manual", func(t *testing.T) {
		r := root{t, r.dir}
		for _, name := range append(commands(t), "ailee-recovery") {
			// -ww turns on all warnings of groff.
			out := r.sh(`MANROFFOPT=-ww MANWIDTH=80 man --warnings=w "$1" 2>&1 >/tmp/page; head -c 200 /tmp/page; rm /tmp/page`, name)
			if name == alias {
				name = aliased
			}
			assert.Regexp(t, `^`+regexp.QuoteMeta(name)+`\([17]\)`, out, "and no warning before it")
		}
	})
	t.Run("completions", func(t *testing.T) {
		r := root{t, r.dir}
		for _, name := range commands(t) {
			// A command without its own completion gets _minimal.
			assert.NotContains(t, r.sh(`source /usr/share/bash-completion/bash_completion; _completion_loader "$1" || [ $? = 124 ]; complete -p "$1"`, name), "_minimal", name)
			assert.Contains(t, r.sh(`fish --no-config --command "source /usr/share/fish/vendor_completions.d/$1.fish; complete --do-complete '$1 --'"`, name), "--help", name)
		}
		r.sh(`zsh -fec 'autoload -U compinit; compinit -D -u; for name; do autoload -U +X ${_comps[$name]:?}; done' zsh "$@"`, commands(t)...)
	})
	t.Run("units", func(t *testing.T) {
		r := root{t, r.dir}
		units := glob(t, "packaging/systemd/*")
		require.Len(t, units, 4)
		for _, unit := range units {
			unit = filepath.Base(unit)
			run(t, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+r.dir, unit)
			if strings.HasSuffix(unit, ".service") {
				assert.Contains(t, r.sh(`cat /usr/lib/systemd/system/"$1"`, unit), "\nSuccessExitStatus=SIGTERM\n", "a service that was stopped has not failed")
				// In tenths: exposure 0.5 of 10. The monitor checks other users' processes.
				threshold := "--threshold=5"
				if unit == "ailee-monitor.service" {
					threshold = "--threshold=9"
				}
				run(t, "systemd-analyze", "security", "--offline=yes", threshold, "--root="+r.dir, unit)
			}
		}
	})
	t.Run("lintian", func(t *testing.T) {
		assert.NotContains(t, run(t, "lintian", "--allow-root", "--fail-on=error", r.path("new.deb")), "E: ")
	})
	t.Run("is removed", func(t *testing.T) {
		r := root{t, r.dir}
		data := r.files("/var/lib/ailee")
		r.sh("dpkg --remove ailee-recovery")
		assert.Contains(t, r.sh("cat /etc/default/ailee-recovery"), "BACKUP_OPTIONS=--compress")
		r.sh("mkdir -p /var/lib/ailee-recovery /var/lib/systemd/timers; touch /var/lib/ailee-recovery/monitor /var/lib/systemd/timers/stamp-ailee-backup.timer")
		r.sh("dpkg --purge ailee-recovery")
		assert.Equal(t, data, r.files("/var/lib/ailee"), "data and backups are the node's")

		after := r.files("/")
		// What belongs to dpkg, man and the node.
		others := regexp.MustCompile(`^/(var/(lib/(dpkg|ailee|systemd)|log|cache)(/|$)|etc/systemd/system(/|$)|tmp(/|$)|$)`)
		for _, files := range []map[string]string{before, after} {
			maps.DeleteFunc(files, func(name, _ string) bool { return others.MatchString(name) })
		}
		assert.Equal(t, before, after)
		assert.NotContains(t, r.sh("find / -xdev -name '*ailee*' ! -path '/var/lib/ailee*' ! -path '/proc/*' ! -path '/tmp/*' ! -path '/var/cache/*'"), "ailee")
	})
}

// maxInstalled is the maximum size of everything that is installed, in bytes.
const maxInstalled = 35e6

// bytesOf adds up the sizes of the regular files among lines of stat's %F:%s.
func bytesOf(t *testing.T, lines string) (total int64) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if size, ok := strings.CutPrefix(strings.TrimSpace(line), "regular file:"); ok {
			n, err := strconv.ParseInt(size, 10, 64)
			require.NoError(t, err)
			total += n
		}
	}
	require.NotZero(t, total)
	return total
}

// hasTheSource compares the files of the package with those of the source.
func hasTheSource(r root) {
	t := r.t
	listed := strings.Fields(r.sh("dpkg --listfiles ailee-recovery"))
	want := []string{
		"/etc/default/ailee-recovery", "/usr/share/doc/ailee-recovery/changelog.gz", "/usr/share/doc/ailee-recovery/copyright",
		"/usr/share/doc/ailee-recovery/examples/cron.d-ailee-recovery", "/usr/share/doc/ailee-recovery/sbom.cdx.json",
		"/usr/share/doc/ailee-recovery/third-party-licenses.txt.gz", "/usr/share/lintian/overrides/ailee-recovery",
	}
	for _, name := range tools(t) {
		want = append(want, "/usr/bin/"+name)
	}
	for source, name := range installed(t) {
		want = append(want, "/usr/"+name)
		assert.Equal(t, read(t, source), read(t, r.path("usr/"+name)))
	}
	for _, page := range glob(t, "man/man[17]/*") {
		want = append(want, strings.Replace(page, "..", "/usr/share", 1)+".gz")
		assert.Equal(t, string(read(t, page)), run(t, "gzip", "-dc", r.path(want[len(want)-1])))
	}
	for _, completion := range glob(t, "completions/zsh/*") {
		want = append(want, "/usr/share/zsh/vendor-completions/"+filepath.Base(completion))
	}
	for _, unit := range glob(t, "packaging/systemd/*") {
		want = append(want, "/usr/lib/systemd/system/"+filepath.Base(unit))
		assert.NotRegexp(t, "@[a-z]+@", string(read(t, r.path(want[len(want)-1]))))
	}
	var files []string
	for _, name := range listed {
		if info, err := os.Lstat(r.path(name)); err == nil && !info.IsDir() {
			files = append(files, name)
		}
	}
	assert.ElementsMatch(t, want, files)
	assert.Empty(t, r.sh(`dpkg --listfiles ailee-recovery | xargs -d '\n' stat -c '%U:%G %A %n' | grep -vE '^root:root (drwxr-xr-x|-rwxr-xr-x|-rw-r--r--|lrwxrwxrwx) ' || true`))
}

// TestTarArchive installs the archive with the commands of its INSTALL, twice, below a folder,
// and runs the commands of the example for cron there.
func TestTarArchive(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "usr/local")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(root, "elsewhere"), 0o755))
	require.NoError(t, os.Symlink("../../elsewhere", filepath.Join(dir, "share")))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc/default"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(root, "etc/default"), 0o700))
	// As in Debian: the group may add programs.
	require.NoError(t, os.Chmod(filepath.Join(dir, "bin"), os.ModeSetgid|0o775))
	text, err := filepath.Abs("INSTALL")
	require.NoError(t, err)
	var commands strings.Builder
	for line := range strings.Lines(string(read(t, text))) {
		if command, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(command, "systemctl ") {
			commands.WriteString(strings.NewReplacer("/usr/local", dir, " / ", " "+root+" ").Replace(command))
		}
	}
	install := func() {
		run(t, "sh", "-euc", "cd \"$0\"\n"+commands.String(), os.Getenv("DIST"))
	}
	install()
	for source, name := range installed(t) {
		assert.Equal(t, read(t, source), read(t, filepath.Join(dir, name)))
	}
	settings := filepath.Join(root, "etc/default/ailee-recovery")
	assert.Equal(t, read(t, "default"), read(t, settings))
	require.NoError(t, os.WriteFile(settings, []byte("BACKUP_OPTIONS=--compress\n"), 0o644))
	install()
	assert.Equal(t, "BACKUP_OPTIONS=--compress\n", string(read(t, settings)), "settings stay")
	for folder, mode := range map[string]os.FileMode{"usr/local/bin": os.ModeDir | os.ModeSetgid | 0o775, "usr/local/share": os.ModeSymlink | 0o777, "etc/default": os.ModeDir | 0o700} {
		info, err := os.Lstat(filepath.Join(root, folder))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode(), folder)
	}
	assert.ElementsMatch(t, []string{"bin", "lib", "share"}, names(t, dir))

	for _, name := range tools(t) {
		assert.Contains(t, run(t, filepath.Join(dir, "bin", name), "--version"), name)
	}
	assert.Contains(t, run(t, filepath.Join(dir, "bin", alias), "--help"), aliased)
	assert.Contains(t, string(read(t, filepath.Join(dir, "lib/systemd/system/ailee-backup.service"))), "ExecStart=/usr/local/bin/ailee backup ")
	assert.Less(t, bytesOf(t, run(t, "find", root, "-type", "f", "-printf", "regular file:%s\n")), int64(maxInstalled))
	run(t, "sh", "-c", `cd "$1" && sha256sum --check --strict SHA256SUMS`, "sh", os.Getenv("DIST"))

	node := filepath.Join(root, "node")
	run(t, filepath.Join(dir, "bin/ailee_init_node"), "--data-dir", node)
	cron := string(read(t, filepath.Join(dir, "share/doc/ailee-recovery/examples/cron.d-ailee-recovery")))
	path := regexp.MustCompile(`(?m)^PATH=/usr/local(/.*)$`).FindStringSubmatch(cron)
	require.NotNil(t, path, cron)
	// Called by its full path, it does not need the PATH of cron.
	for _, command := range []string{"PATH=/usr/bin:/bin " + dir + "/bin/ailee-backup", "PATH=" + dir + path[1] + " ailee-backup", "PATH=" + dir + path[1] + " ailee-monitor"} {
		assert.Empty(t, run(t, "env", append([]string{"-i", "AILEE_DATA_DIR=" + node}, strings.Fields(command)...)...), command)
	}
	assert.NotEmpty(t, names(t, filepath.Join(node, "backups")))
}

// TestPartsOfTheArchive: whatever part of the archive is unpacked, no link is broken, and the
// programs in it work.
func TestPartsOfTheArchive(t *testing.T) {
	archive := release(t, "DIST", "ailee-recovery-*.tar.gz")
	assert.NotRegexp(t, "(?m)^[lh]", run(t, "tar", "-tvzf", archive), "it has no links at all")
	for _, parts := range []string{"*", "*/bin", "*/bin/ailee", "*/bin/" + alias, "*/lib", "*/share", "*/share/man", "*/bin */lib"} {
		t.Run(parts, func(t *testing.T) {
			dir := t.TempDir()
			run(t, "tar", append([]string{"-C", dir, "--strip-components=1", "-xzf", archive, "--wildcards"}, strings.Fields(parts)...)...)
			assert.Empty(t, run(t, "find", dir, "-xtype", "l"))
			if program := filepath.Join(dir, "bin/ailee"); exists(program) {
				for _, name := range tools(t) {
					if name != "ailee" {
						assert.Contains(t, run(t, "env", "-i", program, name, "--version"), name)
					}
				}
				if script := filepath.Join(dir, "bin", alias); exists(script) {
					assert.Contains(t, run(t, "env", "-i", "PATH=/usr/bin:/bin", script, "--version"), aliased)
				}
			}
			for _, unit := range []string{"ailee-backup.service", "ailee-monitor.service"} {
				if unit := filepath.Join(dir, "lib/systemd/system", unit); exists(unit) {
					assert.Regexp(t, `(?m)^ExecStart=/usr/local/bin/ailee [a-z]+ `, string(read(t, unit)))
				}
			}
		})
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// TestVerifierAlone checks what a pipeline takes from the release: one small program with the
// licenses of what it contains.
func TestVerifierAlone(t *testing.T) {
	archive := release(t, "DIST", "ailee_l2_verify-*-linux-amd64.tar.gz")
	dir := t.TempDir()
	run(t, "tar", "-C", dir, "--strip-components=1", "-xzf", archive)
	assert.ElementsMatch(t, []string{"LICENSE", "ailee_l2_verify", "sbom.cdx.json", "third-party-licenses.txt"}, names(t, dir))
	program := filepath.Join(dir, "ailee_l2_verify")
	info, err := os.Stat(program)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(13e6))
	assert.Contains(t, run(t, "env", "-i", program, "--snapshot", "../testdata/golden/verify/valid_minimal.dat"), "Verification OK.\n")
	texts := string(read(t, filepath.Join(dir, "third-party-licenses.txt")))
	assert.Contains(t, texts, "urfave/cli")
	assert.NotContains(t, texts, "RocksDB")
}

// TestDist: dist keeps files that it has not made, in whatever folder it is told to use.
func TestDist(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", "work", "ailee-recovery_1.0_amd64.deb"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("mine\n"), 0o644))
	}
	run(t, "env", "STATIC=bin/static", "DIST="+dir, "VERSION=v1.2.3", "SOURCE_DATE_EPOCH=1700000000", "MAINTAINER=A <a@example.org>", "./dist")
	assert.ElementsMatch(t, []string{"notes.txt", "work", "ailee-recovery-v1.2.3-linux-amd64.cdx.json", "SHA256SUMS"}, names(t, dir))
	assert.Regexp(t, "^[0-9a-f]{64}  ailee-recovery-v1.2.3-linux-amd64.cdx.json\n$", string(read(t, filepath.Join(dir, "SHA256SUMS"))))
}

// TestInstall runs `make install` without any privilege of root.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	make := func(target string) {
		run(t, "setpriv", "--bounding-set=-all", "--inh-caps=-all", "make", "--silent", "-C", "..", target, "DESTDIR="+dir, "PREFIX=/opt/ailee", "BIN=bin/static")
	}
	make("install")
	for source, name := range installed(t) {
		assert.Equal(t, read(t, source), read(t, filepath.Join(dir, "opt/ailee", name)))
	}
	info, err := os.Stat(filepath.Join(dir, "opt/ailee/bin/ailee"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), info.Mode())
	assert.Contains(t, run(t, filepath.Join(dir, "opt/ailee/bin/ailee-backup"), "--help"), "USAGE")
	target, err := os.Readlink(filepath.Join(dir, "opt/ailee/bin/ailee-backup"))
	require.NoError(t, err)
	assert.Equal(t, "ailee", target)

	settings := filepath.Join(dir, "etc/default/ailee-recovery")
	require.NoError(t, os.WriteFile(settings, []byte("BACKUP_OPTIONS=--compress\n"), 0o644))
	make("install")
	assert.Equal(t, "BACKUP_OPTIONS=--compress\n", string(read(t, settings)), "settings stay")
	make("uninstall")
	assert.Equal(t, settings+"\n", run(t, "find", dir, "!", "-type", "d"))
}

// TestRocksDB: scripts/deps names the flag for the RocksDB of a machine, and refuses one that
// was not tested.
func TestRocksDB(t *testing.T) {
	for version, want := range map[string]string{
		"7.8.3":  "",
		"8.9.1":  "deps: RocksDB 8.9.1 is installed: make build ROCKSDB=8.9, .*\n",
		"9.10.0": "deps: RocksDB 9.10.0 is installed: make build ROCKSDB=9.10, .*\n",
		"8.1.1":  "deps: error: RocksDB 8.1.1 is installed, but only these are supported: 7.8 8.9 9.10\ndeps: hint: .*\n",
		"10.2.1": "deps: error: RocksDB 10.2.1 is installed, .*\ndeps: hint: .*\n",
	} {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "pkg-config"), []byte("#!/bin/sh\necho "+version+"\n"), 0o755))
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			out := run(t, "sh", "-c", "../scripts/deps --missing 2>&1 || [ $? = 1 ]")
			assert.Regexp(t, "^"+want+"$", out)
		})
	}
	out := run(t, "sh", "-c", "make -C .. build ROCKSDB=1.2 2>&1 || [ $? = 2 ]")
	assert.Regexp(t, "go: open /.*/packaging/rocksdb/1.2.mod: no such file", out)
}

// TestSBOM checks that the bill of materials names what it must.
func TestSBOM(t *testing.T) {
	var sbom struct {
		BOMFormat    string
		SerialNumber string
		Components   []struct {
			Name, Version, PURL string
			Licenses            []struct{ Expression string }
		}
	}
	require.NoError(t, json.Unmarshal(read(t, release(t, "DIST", "ailee-recovery-*.cdx.json")), &sbom))
	assert.Equal(t, "CycloneDX", sbom.BOMFormat)
	var names []string
	for _, part := range sbom.Components {
		names = append(names, part.Name)
		assert.NotEmpty(t, part.Version, part.Name)
		require.Len(t, part.Licenses, 1, part.Name)
		assert.NotEmpty(t, part.Licenses[0].Expression, part.Name)
	}
	assert.Contains(t, names, "ailee")
	assert.Subset(t, names, []string{"RocksDB", "Snappy", "LZ4", "Zstandard", "zlib", "bzip2", "GNU C library", "GNU C++ library", "GCC runtime", "Go standard library"})
	for line := range strings.Lines(run(t, "go", "version", "-m", "../bin/static/ailee")) {
		if field := strings.Fields(line); len(field) > 2 && field[0] == "dep" {
			assert.True(t, slices.Contains(names, field[1]), field[1])
		}
	}
}
