package createanchor_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, createanchor.Tool(), l2verify.Tool(), extractsnapshots.Tool(), initreorgdb.Tool(), reorgverify.Tool(), resyncblocks.Tool())
}

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, createanchor.Tool()) }
