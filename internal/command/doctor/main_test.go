package doctor

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/resyncblocks"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, Tool(), initnode.Tool(), initreorgdb.Tool(), prunesnapshots.Tool(), resyncblocks.Tool())
}

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, Tool()) }
