package diffsnapshots_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/diffsnapshots"
)

func TestMain(m *testing.M) { clitest.Main(m, nil, diffsnapshots.Tool()) }

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, diffsnapshots.Tool()) }
