package initnode_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/reorgverify"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, initnode.Tool(), l2verify.Tool(), reorgverify.Tool())
}

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, initnode.Tool()) }
