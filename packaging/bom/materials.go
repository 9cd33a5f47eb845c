package main

import (
	"cmp"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// A material is something that is linked into binaries.
type material struct {
	name    string
	version string
	purl    string // package URL, https://github.com/package-url/purl-spec
	license string // SPDX expression
	texts   []string
}

// A binary names what is linked into it.
type binary struct {
	path  string
	purls []string // sorted
}

// materials has all materials of some binaries.
type materials struct {
	binaries []binary
	of       map[string]*material // by purl
}

func (m *materials) sorted() []*material {
	return slices.SortedFunc(maps.Values(m.of), func(a, b *material) int { return cmp.Compare(a.purl, b.purl) })
}

// collect reads what the Go linker recorded in the binaries. Those with cgo are linked with the
// static libraries as well: the C linker does not record what it takes from them.
func collect(paths []string) (*materials, error) {
	all := &materials{of: map[string]*material{}}
	// Binaries have most materials in common, and recognizing licenses is slow.
	known := map[string]*material{}
	for _, path := range paths {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, err
		}
		b := binary{path: path}
		add := func(key string, find func() (*material, error)) error {
			m := known[key]
			if m == nil {
				var err error
				if m, err = find(); err != nil {
					return err
				}
				known[key] = m
			}
			all.of[m.purl] = m
			b.purls = append(b.purls, m.purl)
			return nil
		}
		if err := add(info.GoVersion, func() (*material, error) { return standardLibrary(info.GoVersion) }); err != nil {
			return nil, err
		}
		for _, dep := range info.Deps {
			if err := add(dep.Path+"@"+dep.Version, func() (*material, error) { return goModule(dep) }); err != nil {
				return nil, err
			}
		}
		if slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"}) {
			for _, l := range libraries {
				if err := add(l.name, l.material); err != nil {
					return nil, err
				}
			}
		}
		slices.Sort(b.purls)
		all.binaries = append(all.binaries, b)
	}
	return all, nil
}

func standardLibrary(version string) (*material, error) {
	root, err := goEnv("GOROOT")
	if err != nil {
		return nil, err
	}
	version = strings.TrimPrefix(version, "go")
	return licensed(&material{name: "Go standard library", version: version, purl: "pkg:golang/std@" + version}, root)
}

func goModule(dep *debug.Module) (*material, error) {
	if dep.Replace != nil {
		dep = dep.Replace
	}
	cache, err := goEnv("GOMODCACHE")
	if err != nil {
		return nil, err
	}
	path, err := module.EscapePath(dep.Path)
	if err != nil {
		return nil, err
	}
	version, err := module.EscapeVersion(dep.Version)
	if err != nil {
		return nil, err
	}
	m := &material{name: dep.Path, version: dep.Version, purl: "pkg:golang/" + dep.Path + "@" + dep.Version}
	return licensed(m, filepath.Join(cache, path+"@"+version))
}

// A library is a static C or C++ library from a Debian package.
type library struct {
	name     string
	archives []string
	license  string // as stated by upstream and the package's copyright file
}

var libraries = []library{
	{"RocksDB", []string{"librocksdb.a"}, "GPL-2.0-only OR Apache-2.0"},
	{"Snappy", []string{"libsnappy.a"}, "BSD-3-Clause"},
	{"LZ4", []string{"liblz4.a"}, "BSD-2-Clause"},
	{"Zstandard", []string{"libzstd.a"}, "BSD-3-Clause OR GPL-2.0-only"},
	{"zlib", []string{"libz.a"}, "Zlib"},
	{"bzip2", []string{"libbz2.a"}, "bzip2-1.0.6"},
	{"GNU C++ library", []string{"libstdc++.a"}, "GPL-3.0-or-later WITH GCC-exception-3.1"},
	{"GCC runtime", []string{"libgcc.a", "libgcc_eh.a"}, "GPL-3.0-or-later WITH GCC-exception-3.1"},
	// libm.a is a linker script around libm-<version>.a and libmvec.a.
	{"GNU C library", []string{"libc.a", "libm.a", "libmvec.a", "libdl.a", "libpthread.a", "libresolv.a"}, "LGPL-2.1-or-later"},
}

// material finds the Debian package of the library.
func (l library) material() (*material, error) {
	file, err := output("gcc", "-print-file-name="+l.archives[0])
	if err != nil {
		return nil, err
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return nil, err
	}
	owner, err := output("dpkg-query", "--search", file)
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(owner, ":")
	fields, err := output("dpkg-query", "--show", "--showformat", "${Version} ${Architecture}", name)
	if err != nil {
		return nil, err
	}
	version, arch, _ := strings.Cut(fields, " ")
	text, err := os.ReadFile(filepath.Join("/usr/share/doc", name, "copyright"))
	if err != nil {
		return nil, err
	}
	return &material{
		name: l.name, version: version, license: l.license, texts: []string{string(text)},
		purl: fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", strings.ReplaceAll(name, "+", "%2B"), strings.ReplaceAll(version, "+", "%2B"), arch),
	}, nil
}

func goEnv(name string) (string, error) { return output("go", "env", name) }

func output(command string, args ...string) (string, error) {
	out, err := exec.Command(command, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", command, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
