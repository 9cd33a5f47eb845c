package l2verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/golden"
)

type expected struct {
	Exit   int    `json:"exit"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

// TestVerdictsAreTheNodes runs the verifier on every golden file: by name,
// through a named pipe, and from standard input.
func TestVerdictsAreTheNodes(t *testing.T) {
	var files map[string]expected
	data, err := os.ReadFile(golden.Dir() + "/verify/expected.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &files))
	require.Greater(t, len(files), 100)
	for name, want := range files {
		t.Run(name, func(t *testing.T) {
			t.Chdir(golden.Dir() + "/verify")
			before := clitest.Read(t, name)
			check(t, want, verify(t, nil, name))

			in, err := os.Open(name)
			require.NoError(t, err)
			defer in.Close()
			toStdin := want
			toStdin.Stderr = strings.Replace(want.Stderr, "file: "+name, "file: -", 1)
			check(t, toStdin, verify(t, in, "-"))

			pipe := exec.Command("cat", name)
			out, err := pipe.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, pipe.Start())
			check(t, toStdin, verify(t, out.(*os.File), "-"))
			require.NoError(t, pipe.Wait())
			require.Equal(t, before, clitest.Read(t, name))
		})
	}
}

func check(t *testing.T, want expected, got expected) {
	t.Helper()
	require.Equal(t, want, got)
}

// verify runs the verifier. It leaves out the lines that the nodes' verifier does not have,
// which must come after those that it has.
func verify(t *testing.T, stdin *os.File, name string) expected {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Execute(context.Background(), l2verify.Tool(), []string{l2verify.Name, "--snapshot", name},
		cli.Streams{In: stdin, Out: &stdout, Err: &stderr})
	nodes, own := "", false
	for line := range strings.Lines(stderr.String()) {
		if strings.HasPrefix(line, l2verify.Name+": ") {
			own = true
			continue
		}
		require.False(t, own, "a line of the node's follows one of ours: %q", line)
		nodes += line
	}
	return expected{Exit: code, Stdout: stdout.String(), Stderr: nodes}
}
