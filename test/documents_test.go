package test

import (
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/ijson"
	"ailee-recovery/internal/multicall"
)

// TestSchemas: there is a schema for each tool with --json, and no other. Each is strict and
// describes every field.
func TestSchemas(t *testing.T) {
	var speaking []string
	for _, command := range allTools() {
		if slices.Contains(command.Flags, urfave.Flag(cli.JSONFlag)) || slices.Contains(command.Flags, urfave.Flag(cli.JSONLinesFlag)) {
			speaking = append(speaking, command.Name)
			// Its tests check what it prints against the schema.
			folder := "command/" + strings.NewReplacer("ailee_", "", "ailee-", "", "_", "").Replace(command.Name)
			if command.Name == multicall.Name {
				folder = "multicall"
			}
			require.Contains(t, clitest.Read(t, "../internal/"+folder+"/main_test.go"), "clitest.Main")
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

// requireExact asserts that a number that can be beyond 2^53-1 can also be a string: see the package
// ijson.
func requireExact(t *testing.T, s *jsonschema.Schema) {
	t.Helper()
	require.NotNil(t, s.Maximum, s.Location)
	require.LessOrEqual(t, s.Maximum.Cmp(big.NewRat(ijson.MaxExact, 1)), 0, "%s: larger numbers are strings", s.Location)
	if slices.Contains(s.Types.ToStrings(), "string") {
		require.NotNil(t, s.Pattern, s.Location)
		require.True(t, s.Pattern.MatchString("9007199254740992"), s.Location)
		require.False(t, s.Pattern.MatchString("900719925474099"), s.Location)
	}
}

func requireStrict(t *testing.T, s *jsonschema.Schema) {
	t.Helper()
	if s.Types != nil && slices.Contains(s.Types.ToStrings(), "object") {
		require.NotNil(t, s.AdditionalProperties, s.Location)
		require.NotEqual(t, true, s.AdditionalProperties, s.Location)
	}
	if s.Types != nil && slices.Contains(s.Types.ToStrings(), "integer") {
		requireExact(t, s)
	}
	for name, property := range s.Properties {
		if property.Bool == nil {
			require.True(t, property.Description != "" || property.Ref != nil && property.Ref.Description != "", "%s does not describe %s", s.Location, name)
			requireStrict(t, property)
		}
	}
	for _, part := range slices.Concat(clitest.Parts(s), clitest.Items(s)) {
		requireStrict(t, part)
	}
}
