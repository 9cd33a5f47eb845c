package multicall_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/multicall"
)

// TestMain lets tests run the program as a process, by its own name and that of each command.
func TestMain(m *testing.M) {
	programs := clitest.Programs{multicall.Name: multicall.Main}
	for _, command := range multicall.Commands() {
		programs[command.Name] = multicall.Main
	}
	clitest.MainFor(m, []string{multicall.Name}, programs)
}

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, multicall.Tool()) }

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }
