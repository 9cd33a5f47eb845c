package drillchain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/drillchain"
	"ailee-recovery/internal/exit"
)

func TestMain(m *testing.M) { clitest.Main(m, nil, drillchain.Tool()) }

// TestDocument: it ends at once, without a standard input.
func TestDocument(t *testing.T) {
	code, stdout, stderr := clitest.Run(drillchain.Tool(), "--json", "--tip", "5")
	require.Equal(t, exit.OK, code, stderr)
	require.Contains(t, stdout, `"url": "http://127.0.0.1:`)
}

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, drillchain.Tool()) }
