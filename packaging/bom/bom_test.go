package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

// TestLicenses fails when a dependency was added, was removed or changed its license.
func TestLicenses(t *testing.T) {
	var page bytes.Buffer
	require.NoError(t, run([]string{"licenses", "../../bin/static/ailee"}, &page))
	committed, err := os.ReadFile("../../docs/licenses.md")
	require.NoError(t, err)
	assert.Equal(t, page.String(), string(committed), "docs/licenses.md is stale: make licenses")
}

func TestIncompatible(t *testing.T) {
	m := &materials{of: map[string]*material{"a": {name: "a", license: "AGPL-3.0 AND MIT"}, "b": {name: "b", license: "MIT"}}}
	assert.Equal(t, []string{"a: AGPL-3.0"}, incompatible(m.sorted()))
	assert.ErrorContains(t, writeLicenses(&bytes.Buffer{}, m), "a: AGPL-3.0")

	dir := t.TempDir()
	_, err := licensed(&material{name: "c"}, dir)
	assert.EqualError(t, err, "c has no license")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("All rights reserved, ask me."), 0o644))
	_, err = licensed(&material{name: "c"}, dir)
	assert.ErrorContains(t, err, "not a known license")
}

// TestLibraries links a program and makes the linker list the archives that it uses.
func TestLibraries(t *testing.T) {
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags=netgo,osusergo", "-o", t.TempDir(),
		"-ldflags=-s -w -linkmode external -extldflags '-static -lbz2 -Wl,--trace'", "./cmd/ailee")
	c.Dir = "../.."
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)

	var known, linked []string
	for _, l := range libraries {
		known = append(known, l.archives...)
	}
	for _, match := range regexp.MustCompile(`(lib[^/ ()]+\.a)\b`).FindAllStringSubmatch(string(out), -1) {
		linked = append(linked, regexp.MustCompile(`-[0-9.]+\.a$`).ReplaceAllString(match[1], ".a"))
	}
	slices.Sort(linked)
	linked = slices.Compact(linked)
	assert.Subset(t, known, linked)
	for _, l := range libraries {
		assert.Contains(t, linked, l.archives[0], l.name)
	}
}

// TestReasons: the table in docs/development.md has every direct dependency.
func TestReasons(t *testing.T) {
	page, err := os.ReadFile("../../docs/development.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(page), "\n## Dependencies, each with its reason\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	// A row may name several: `example.com/a/b`, `c` means example.com/a/b and example.com/a/c.
	var named []string
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		first := ""
		for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			if first == "" {
				first = match[1]
			}
			named = append(named, match[1], moduleDir(first)+"/"+match[1])
		}
	}
	for _, file := range []string{"../../go.mod", "../go.mod"} {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		mod, err := modfile.Parse(file, data, nil)
		require.NoError(t, err)
		for _, require := range mod.Require {
			if !require.Indirect {
				assert.Contains(t, named, require.Mod.Path, "docs/development.md has no reason for it")
			}
		}
		for _, tool := range mod.Tool {
			assert.True(t, slices.ContainsFunc(named, func(name string) bool { return strings.HasPrefix(tool.Path+"/", name+"/") }), tool.Path)
		}
	}
}

// moduleDir returns the path that a module shares with the other modules of its repository.
func moduleDir(path string) string {
	path = regexp.MustCompile(`/v[0-9]+$`).ReplaceAllString(path, "")
	return filepath.Dir(path)
}
