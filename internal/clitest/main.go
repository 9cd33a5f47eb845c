// Package clitest is what the tests of commands share: running tools in this process or as
// separate ones, the scripts of testdata, sample data, and checking all JSON documents against
// their schemas. The part that needs RocksDB is in reorgtest.
package clitest

import (
	"maps"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ailee-recovery/internal/cli"
)

// Programs are other programs that tests run as processes, by name.
type Programs map[string]func()

// Main is the TestMain of a package with a command: it makes available, as processes, the
// command, others that the tests need, and programs, which may be nil. If all tests run, they
// must print every field of the command's schema.
func Main(m *testing.M, programs Programs, command cli.Tool, others ...cli.Tool) {
	MainFor(m, []string{command.Name}, programs, append(others, command)...)
}

// MainFor is [Main] with the names of the tools whose documents must have every field.
func MainFor(m *testing.M, documents []string, programs Programs, tools ...cli.Tool) {
	commands := map[string]func(){"appender": appender}
	maps.Copy(commands, programs)
	for _, tool := range tools {
		commands[tool.Name] = func() { cli.Main(recorded(tool)) }
	}
	testscript.Main(validated{m, documents}, commands)
}
