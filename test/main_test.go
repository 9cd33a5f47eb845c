// Package test tests the whole product: the recovery guide, what all tools have in common, and what other processes and users may do to any of them.
package test

import (
	"testing"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
)

func TestMain(m *testing.M) {
	clitest.MainFor(m, nil, clitest.Programs{
		reorgtest.NodeName: reorgtest.Programs[reorgtest.NodeName],
		sandboxed:          sandboxMain, followed: followedMain, serviceName: service, "bitcoin-cli": bitcoinCLI, "peak": peak,
		panicking().Name: func() { cli.Main(panicking()) }, stubborn().Name: func() { cli.Main(stubborn()) },
	}, allTools()...)
}
