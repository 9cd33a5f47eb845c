package test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/exit"
)

// TestSchemas: there is one for each tool and script with --json, and no other. Each
// is strict and says what every field is.
func TestSchemas(t *testing.T) {
	var speaking []string
	for _, command := range allTools() {
		if slices.Contains(command.Flags, urfave.Flag(cli.JSONFlag)) || slices.Contains(command.Flags, urfave.Flag(cli.JSONLinesFlag)) {
			speaking = append(speaking, command.Name)
			// Its tests hold what it prints to the schema.
			folder := strings.NewReplacer("ailee_", "", "ailee-", "", "_", "").Replace(command.Name)
			require.Contains(t, clitest.Read(t, "../internal/command/"+folder+"/main_test.go"), "clitest.Main(m, ")
		}
	}
	for _, name := range clitest.Names(t, "../scripts") {
		text, err := os.ReadFile(filepath.Join("../scripts", name))
		require.NoError(t, err)
		if bytes.Contains(text, []byte("\n   --json ")) {
			speaking = append(speaking, name)
		}
	}
	var described []string
	for _, file := range clitest.Names(t, clitest.SchemaDir()) {
		name, ok := strings.CutSuffix(file, clitest.SchemaSuffix)
		require.True(t, ok, file)
		described = append(described, name)
		s, err := clitest.Schema(name)
		require.NoError(t, err)
		require.Equal(t, "urn:ailee-recovery:schema:"+name+":v1", s.ID)
		require.Equal(t, 2020, s.DraftVersion)
		requireStrict(t, s)
	}
	require.ElementsMatch(t, speaking, described)
}

func requireStrict(t *testing.T, s *jsonschema.Schema) {
	t.Helper()
	if s.Types != nil && slices.Contains(s.Types.ToStrings(), "object") {
		require.NotNil(t, s.AdditionalProperties, s.Location)
		require.NotEqual(t, true, s.AdditionalProperties, s.Location)
	}
	for name, property := range s.Properties {
		if property.Bool == nil {
			require.True(t, property.Description != "" || property.Ref != nil && property.Ref.Description != "", "%s says nothing of %s", s.Location, name)
			requireStrict(t, property)
		}
	}
	for _, part := range slices.Concat(clitest.Parts(s), clitest.Items(s)) {
		requireStrict(t, part)
	}
}

// TestUsageErrorsOfScripts: they are documents, also where the flags cannot be read.
func TestUsageErrorsOfScripts(t *testing.T) {
	for _, name := range []string{"ailee-monitor"} {
		for _, args := range [][]string{{"--json", "--no-such-flag"}, {"--no-such-flag", "--json"}} {
			code, stdout, stderr := runScript(t, 0, name, args...)
			require.Equal(t, exit.Failed, code)
			require.Contains(t, stdout, `"exit_code": 1`)
			require.Contains(t, stderr, name+": error: ")
		}
	}
}

// TestDocumentsOfScripts prints what no other test does.
func TestDocumentsOfScripts(t *testing.T) {
	clitest.InMemory(t)
	dir := nodeDir(t, 2)
	prints := func(code int, now int64, name string, args ...string) {
		t.Helper()
		got, stdout, stderr := runScript(t, now, name, append(args, "--json")...)
		require.Equal(t, code, got, "%s%s", stdout, stderr)
		require.NotEmpty(t, stdout)
	}
	for i := range int64(2) {
		prints(exit.OK, start+i, "ailee-backup", "--data-dir", dir, "--keep", "1")
	}
	require.NoError(t, os.Truncate(filepath.Join(dir, "l2_snapshots.dat"), 100))
	prints(exit.Wrong, start+4, "ailee-monitor", "--data-dir", dir)
}
