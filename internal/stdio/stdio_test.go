package stdio_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEntryPoint: everything that make builds without cgo has the entry point.
func TestEntryPoint(t *testing.T) {
	text, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	require.Contains(t, string(text), "\nPURE_LDFLAGS := $(LDFLAGS) -E ailee_entry\n")
	builds := regexp.MustCompile(`CGO_ENABLED=0 go build .*`).FindAllString(string(text), -1)
	require.NotEmpty(t, builds)
	for _, build := range builds {
		require.Contains(t, build, "-ldflags '$(PURE_LDFLAGS)'")
	}
}

// TestWithoutCgo: a command that is built without cgo notices a closed standard output. Builds
// with cgo are tested in the folder test.
func TestWithoutCgo(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for short mode: builds a command")
	}
	program := filepath.Join(t.TempDir(), "ailee_l2_verify")
	build := exec.Command("go", "build", "-ldflags", "-s -w -E ailee_entry", "-o", program, "../../cmd/ailee_l2_verify")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))
	for to, want := range map[string]int{">&-": 1, ">&- <&-": 1, ">&- 2>&-": 1, ">/dev/full": 1, ">/dev/null": 0, "1<>/dev/null": 0, "| cat": 0, "": 0} {
		cmd := exec.Command("sh", "-c", `"$0" --version `+to, program)
		said, _ := cmd.CombinedOutput()
		require.Equal(t, want, cmd.ProcessState.ExitCode(), "%s: %s", to, said)
		if want == 1 && to == ">&-" {
			require.Contains(t, string(said), "error: cannot write to standard output: write /dev/stdout: bad file descriptor\n")
		}
	}
}
