package prunesnapshots_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
)

func TestMain(m *testing.M) {
	clitest.Main(m, nil, prunesnapshots.Tool(), extractsnapshots.Tool(), l2verify.Tool())
}

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, prunesnapshots.Tool()) }
