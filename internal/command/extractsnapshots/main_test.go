package extractsnapshots_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/l2verify"
)

func TestMain(m *testing.M) { clitest.Main(m, nil, extractsnapshots.Tool(), l2verify.Tool()) }

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, extractsnapshots.Tool()) }
