package restore_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/restore"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, restore.Tool(), prunesnapshots.Tool())
}

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, restore.Tool()) }
