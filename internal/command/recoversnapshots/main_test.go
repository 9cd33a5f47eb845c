package recoversnapshots_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
)

func TestMain(m *testing.M) {
	clitest.Main(m, nil, recoversnapshots.Tool(), extractsnapshots.Tool(), l2verify.Tool(), prunesnapshots.Tool())
}

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, recoversnapshots.Tool()) }
