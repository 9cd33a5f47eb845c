package reorgverify_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, reorgverify.Tool(), initreorgdb.Tool(), resyncblocks.Tool())
}

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, reorgverify.Tool()) }
