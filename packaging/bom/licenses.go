package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// compatible has the licenses, as SPDX expressions, whose code may be linked into binaries that
// are distributed under the MIT license, each with what it requires.
var compatible = map[string]string{
	"MIT":          "the license text goes with the binaries",
	"ISC":          "the license text goes with the binaries",
	"BSD-2-Clause": "the license text goes with the binaries",
	"BSD-3-Clause": "the license text goes with the binaries",
	"bzip2-1.0.6":  "nothing for binaries",
	"Zlib":         "nothing for binaries",
	"Apache-2.0":   "license text and notices go with the binaries",

	"GPL-2.0-only OR Apache-2.0":              "used under Apache-2.0",
	"BSD-3-Clause OR GPL-2.0-only":            "used under BSD-3-Clause",
	"GPL-3.0-or-later WITH GCC-exception-3.1": "the exception leaves binaries that GCC compiled under their own license",
	"LGPL-2.1-or-later":                       "anybody can relink the binaries: their source and the Makefile are all that is needed",
}

// minCoverage is how much of a license file must be known text, in percent. The names and years
// in copyright notices are not.
const minCoverage = 75

var licenseFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|notice)([-._].*)?$`)

// licensed adds the license texts in dir to m, and the names of the licenses.
func licensed(m *material, dir string) (*material, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range names {
		if name.IsDir() || strings.HasSuffix(name.Name(), ".go") || !licenseFile.MatchString(name.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, name.Name()))
		if err != nil {
			return nil, err
		}
		m.texts = append(m.texts, string(text))
		if strings.HasPrefix(strings.ToUpper(name.Name()), "NOTICE") {
			continue
		}
		found := licensecheck.Scan(text)
		if found.Percent < minCoverage {
			return nil, fmt.Errorf("%s: %s is not a known license (%.0f %% of it is known text)", m.name, name.Name(), found.Percent)
		}
		for _, match := range found.Match {
			ids = append(ids, match.ID)
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s has no license", m.name)
	}
	slices.Sort(ids)
	m.license = strings.Join(slices.Compact(ids), " AND ")
	return m, nil
}

// incompatible lists the materials that must not be linked.
func incompatible(all []*material) []string {
	var bad []string
	for _, each := range all {
		for part := range strings.SplitSeq(each.license, " AND ") {
			if compatible[part] == "" {
				bad = append(bad, each.name+": "+part)
			}
		}
	}
	return bad
}

// writeLicenses writes docs/licenses.md. It leaves out versions: they are in the bill of
// materials, and change with every update of a library.
func writeLicenses(w io.Writer, all *materials) error {
	if bad := incompatible(all.sorted()); bad != nil {
		return fmt.Errorf("not compatible with the MIT license: %s", strings.Join(bad, ", "))
	}
	fmt.Fprint(w, `# Licenses

The toolkit is under the MIT license ([LICENSE](../LICENSE)). The static binaries, and so the packages, contain the modules and libraries below; the license texts come with them as `+"`third-party-licenses.txt`"+`, the versions are in the bill of materials (`+"`sbom.cdx.json`"+`). This page is made by `+"`make licenses`"+`, and CI fails when it is stale or a license is not on the second list.

| what | license |
| --- | --- |
`)
	used := map[string]bool{}
	for _, m := range all.sorted() {
		name := m.name
		if strings.Contains(name, "/") {
			name = "`" + name + "`"
		}
		fmt.Fprintf(w, "| %s | %s |\n", name, m.license)
		for part := range strings.SplitSeq(m.license, " AND ") {
			used[part] = true
		}
	}
	others, err := notLinked(all)
	if err != nil {
		return err
	}
	if bad := incompatible(others); bad != nil {
		return fmt.Errorf("not known to be free to use: %s", strings.Join(bad, ", "))
	}
	fmt.Fprint(w, "\nEach may be linked into programs under the MIT license:\n\n| license | what it requires |\n| --- | --- |\n")
	for _, license := range sortedKeys(used) {
		fmt.Fprintf(w, "| %s | %s |\n", license, compatible[license])
	}
	fmt.Fprint(w, `
Tests and packaging use these as well; none of them is part of what is distributed, so that their licenses require nothing:

| what | license |
| --- | --- |
`)
	for _, m := range others {
		fmt.Fprintf(w, "| `%s` | %s |\n", m.name, m.license)
	}
	return nil
}

// notLinked returns the modules that tests and packaging need and no binary contains, sorted by
// name. The module of this program is in a folder of the tools' module.
func notLinked(linked *materials) ([]*material, error) {
	mod, err := goEnv("GOMOD")
	if err != nil {
		return nil, err
	}
	packaging := filepath.Dir(mod)
	seen := map[string]bool{}
	for _, m := range linked.of {
		seen[m.name] = true
	}
	var all []*material
	for dir, patterns := range map[string][]string{packaging: {"./...", "tool"}, filepath.Dir(packaging): {"./...", "github.com/btcsuite/btcd"}} {
		list, err := output("go", append([]string{"list", "-C", dir, "-deps", "-test", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}"}, patterns...)...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(list) {
			path, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok || seen[path] {
				continue
			}
			seen[path] = true
			m, err := licensed(&material{name: path}, dir)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *material) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// writeTexts writes the license texts, each only once.
func writeTexts(w io.Writer, all *materials) error {
	owners := map[string][]string{}
	var texts []string
	for _, m := range all.sorted() {
		for _, text := range m.texts {
			text = strings.TrimSpace(text)
			if owners[text] == nil {
				texts = append(texts, text)
			}
			owners[text] = append(owners[text], m.name+" "+m.version)
		}
	}
	for _, text := range texts {
		line := strings.Repeat("=", 72)
		fmt.Fprintf(w, "%s\n%s\n%s\n\n%s\n\n", line, strings.Join(owners[text], "\n"), line, text)
	}
	return nil
}
