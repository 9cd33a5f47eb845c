package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// TestEveryFuzzTarget has a corpus, and is run by make fuzz.
func TestEveryFuzzTarget(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	require.NoError(t, err)
	found := 0
	for _, pattern := range []string{"../*/*_test.go", "../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range fuzzTarget.FindAllSubmatch(source, -1) {
				name := string(match[1])
				require.NotEmpty(t, names(t, filepath.Join(filepath.Dir(file), "testdata", "fuzz", name)), "no corpus")
				require.Contains(t, strings.ReplaceAll(string(makefile), "$$", "$"), "-fuzz '^"+name+"$'")
				found++
			}
		}
	}
	require.GreaterOrEqual(t, found, 14)
}
