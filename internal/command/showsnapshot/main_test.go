package showsnapshot_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/showsnapshot"
)

func TestMain(m *testing.M) { clitest.Main(m, nil, showsnapshot.Tool()) }

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, showsnapshot.Tool()) }
