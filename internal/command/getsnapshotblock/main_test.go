package getsnapshotblock_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/getsnapshotblock"
	"ailee-recovery/internal/command/l2verify"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, getsnapshotblock.Tool(), createanchor.Tool(), extractsnapshots.Tool(), l2verify.Tool())
}

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, getsnapshotblock.Tool()) }
