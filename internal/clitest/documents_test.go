package clitest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocumentsAreHeldToTheirSchemas: a document that does not match its schema is an error.
func TestDocumentsAreHeldToTheirSchemas(t *testing.T) {
	s, err := Schema("ailee_init_node")
	require.NoError(t, err)
	const whole = `{"data_dir": "d", "made": ["reorg_db"], "kept": [], "exit_code": 0}`
	_, err = validate(s, []byte(whole))
	require.NoError(t, err)
	seen := fields{}
	seen.declare(s)
	doc, _ := validate(s, []byte(whole))
	seen.mark(s, doc)
	require.True(t, seen[s.OneOf[0].Ref.Location+"/properties/made"])
	require.False(t, seen[s.OneOf[1].Ref.Location+"/properties/errors"])
	for _, broken := range []string{"", whole[:20], whole + "x",
		strings.Replace(whole, `"kept": []`, `"kept": null`, 1), strings.Replace(whole, `"kept": [], `, "", 1),
		strings.Replace(whole, `"kept"`, `"keep"`, 1), strings.Replace(whole, `0`, `2`, 1), strings.Replace(whole, `0`, `0, "more": 1`, 1)} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "ailee_init_node.1"), []byte(broken), 0o600))
		require.ErrorContains(t, checkDocuments(dir, nil), "ailee_init_node --json does not match its schema", broken)
	}
}

// TestDocumentsHaveEveryField: a field that no document has is named.
func TestDocumentsHaveEveryField(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("ailee_init_node.1", `{"data_dir": "d", "made": ["reorg_db"], "kept": [], "exit_code": 0}`)
	require.NoError(t, checkDocuments(dir, nil))
	require.ErrorContains(t, checkDocuments(dir, []string{"ailee_init_node"}), "no test prints the field ")
	require.ErrorContains(t, checkDocuments(dir, []string{"ailee_init_node"}), "/properties/errors")
	require.ErrorContains(t, checkDocuments(dir, []string{"ailee-drill"}), "no test prints the field ")
	write("ailee_init_node.2", `{"errors": [{"message": "m", "hint": "h"}], "exit_code": 1}`)
	require.NoError(t, checkDocuments(dir, []string{"ailee_init_node"}))
	write("ailee_unknown.1", `{}`)
	require.ErrorContains(t, checkDocuments(dir, nil), "ailee_unknown --json has no schema")
}
