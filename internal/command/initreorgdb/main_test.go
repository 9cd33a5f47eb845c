package initreorgdb_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, initreorgdb.Tool(), initnode.Tool(), reorgverify.Tool(), reorgshow.Tool())
}

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, initreorgdb.Tool()) }
