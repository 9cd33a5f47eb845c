package clitest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
)

// UsageErrors asserts that usage errors are documents with --json, even if the flags cannot be
// parsed.
func UsageErrors(t *testing.T, command cli.Tool) {
	for _, args := range [][]string{{"--json", "--no-such-flag"}, {"--no-such-flag", "--json"}, {"--json", "a", "b", "c"}} {
		code, stdout, stderr := Run(command, args...)
		require.Equal(t, exit.Failed, code)
		require.Regexp(t, `"exit_code": ?1`, stdout)
		require.Contains(t, stderr, command.Name+": error: ")
	}
}
