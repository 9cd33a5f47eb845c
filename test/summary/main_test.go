package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSummary runs tests with each kind of outcome and summarizes the output of go test.
func TestSummary(t *testing.T) {
	for _, c := range []struct {
		name   string
		test   string // a body
		passed bool
		says   []string
		not    string
	}{
		{"passes", `t.Log("whispered")`, true, []string{"ok  \tsample\t", "1 tests passed, 0 failed\n"}, "whispered"},
		{"fails", `t.Run("inner", func(t *testing.T) { t.Fatal("shouted") })`, false,
			[]string{"x_test.go:5: shouted\n", "--- FAIL: Test/inner", "FAIL\tsample\t", "0 tests passed, 2 failed\n"}, "skipped"},
		{"is skipped", `t.Run("a", func(t *testing.T) { t.Skip("no root") }); t.Run("b", func(t *testing.T) { t.Skip("no root") }); t.SkipNow()`, true,
			[]string{"2 skipped: no root\n", "1 skipped: without a reason\n"}, "FAIL"},
		{"panics", `t.Log("whispered"); go panic("boo"); select {}`, false, []string{"whispered", "panic: boo", "FAIL\tsample\t"}, "ok"},
		{"does not compile", `nothing()`, false, []string{"undefined: nothing", "FAIL\tsample [build failed]"}, "ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module sample\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "x_test.go"),
				[]byte("package x\n\nimport \"testing\"\n\nfunc Test(t *testing.T) { "+c.test+" }\n"), 0o600))
			cmd := exec.Command("go", "test", "-json", "./...")
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=")
			said, _ := cmd.Output()
			var out strings.Builder
			passed, err := summarize(strings.NewReader(string(said)), &out)
			require.NoError(t, err)
			require.Equal(t, c.passed, passed, out.String())
			for _, text := range c.says {
				require.Contains(t, out.String(), text)
			}
			require.NotContains(t, out.String(), c.not)
		})
	}
	var out strings.Builder
	passed, err := summarize(strings.NewReader("go: no such thing\n"), &out)
	require.NoError(t, err)
	require.False(t, passed, "nothing ran")
	require.Contains(t, out.String(), "go: no such thing\n")
}
