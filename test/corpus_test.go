package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// TestEveryFuzzTarget has a corpus, and is run by make fuzz.
func TestEveryFuzzTarget(t *testing.T) {
	listed, err := exec.Command("../scripts/fuzz", "--list").Output()
	require.NoError(t, err)
	var found []string
	for _, pattern := range []string{"../*/*_test.go", "../*/*/*_test.go", "../*/*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range fuzzTarget.FindAllSubmatch(source, -1) {
				name := string(match[1])
				require.NotEmpty(t, names(t, filepath.Join(filepath.Dir(file), "testdata", "fuzz", name)), "no corpus")
				found = append(found, "./"+strings.TrimPrefix(filepath.Dir(file), "../")+" "+name)
			}
		}
	}
	require.GreaterOrEqual(t, len(found), 14)
	require.ElementsMatch(t, found, strings.Split(strings.TrimSpace(string(listed)), "\n"))
}
