package l2verify_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/prunesnapshots"
)

func TestMain(m *testing.M) {
	clitest.Main(m, nil, l2verify.Tool(), extractsnapshots.Tool(), prunesnapshots.Tool())
}

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, l2verify.Tool()) }
