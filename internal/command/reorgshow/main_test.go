package reorgshow_test

import (
	"testing"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
)

func TestMain(m *testing.M) {
	clitest.Main(m, reorgtest.Programs, reorgshow.Tool(), reorgverify.Tool())
}

func TestScripts(t *testing.T) { reorgtest.Scripts(t) }

func TestUsageErrors(t *testing.T) { clitest.UsageErrors(t, reorgshow.Tool()) }
