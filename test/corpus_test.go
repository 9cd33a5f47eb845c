package test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
)

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// TestEveryFuzzTarget: every fuzz target has a corpus, and make fuzz runs it.
func TestEveryFuzzTarget(t *testing.T) {
	listed, err := exec.Command("../scripts/fuzz", "--list").Output()
	require.NoError(t, err)
	var found []string
	require.NoError(t, filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range fuzzTarget.FindAllSubmatch(source, -1) {
			name := string(match[1])
			require.NotEmpty(t, clitest.Names(t, filepath.Join(filepath.Dir(file), "testdata", "fuzz", name)), "no corpus")
			found = append(found, "./"+strings.TrimPrefix(filepath.Dir(file), "../")+" "+name)
		}
		return nil
	}))
	require.GreaterOrEqual(t, len(found), 14)
	require.ElementsMatch(t, found, strings.Split(strings.TrimSpace(string(listed)), "\n"))
}
