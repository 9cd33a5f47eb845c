// Package clitest is what the tests of commands share: tools run in the process or as
// processes of their own, scripts of testdata, sample data, and the documents that are
// printed meanwhile, held to their schemas. What needs RocksDB is in reorgtest.
package clitest

import (
	"maps"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ailee-recovery/internal/cli"
)

// Programs are stand-ins that tests run as processes, by their names.
type Programs map[string]func()

// Main is the TestMain of a package with a command: it runs the tests with the command
// and others that they need as processes, and with programs, which may be nil. When all
// tests ran, they have printed every field of the command's schema.
func Main(m *testing.M, programs Programs, command cli.Tool, others ...cli.Tool) {
	MainFor(m, []string{command.Name}, programs, append(others, command)...)
}

// MainFor is [Main] with the names of the tools whose documents the tests
// print with every field.
func MainFor(m *testing.M, documents []string, programs Programs, tools ...cli.Tool) {
	commands := map[string]func(){"appender": appender}
	maps.Copy(commands, programs)
	for _, tool := range tools {
		commands[tool.Name] = func() { cli.Main(recorded(tool)) }
	}
	testscript.Main(validated{m, documents}, commands)
}
