package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/drillchain"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// documentsDir is the variable that names the folder which takes a copy of every
// JSON document that the tools and scripts print while the tests run.
const documentsDir = "AILEE_TEST_DOCUMENTS"

// unrecorded is for the environment of what will be killed, and may print half a
// document.
const unrecorded = documentsDir + "="

// validated are the tests, which fail when a document that was printed meanwhile is
// not what its schema says.
type validated struct{ *testing.M }

func (v validated) Run() int {
	dir, err := os.MkdirTemp("", "ailee-documents-")
	if err == nil {
		err = os.Setenv(documentsDir, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	code := v.M.Run()
	whole := code == 0 && !testing.Short() && !underRace && !narrowed()
	if err := checkDocuments(dir, whole); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// narrowed tells whether only some of the tests were asked for.
func narrowed() bool {
	return slices.ContainsFunc(os.Args, func(arg string) bool {
		return strings.HasPrefix(arg, "-test.run=") || strings.HasPrefix(arg, "-test.skip=") || strings.HasPrefix(arg, "-test.list=")
	})
}

// recorded is the tool with a copy kept of every document that it prints. It is for
// a process of its own, which closes the copy when it ends.
func recorded(t cli.Tool) cli.Tool {
	run := t.Run
	t.Run = func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
		if out.JSON() && os.Getenv(documentsDir) != "" {
			f, err := newDocument(t.Name)
			if err != nil {
				return err
			}
			out.Out = io.MultiWriter(out.Out, f)
		}
		return run(ctx, c, out)
	}
	return t
}

// record keeps a copy of what a tool or script printed, if that is a document.
func record(name string, args []string, stdout string) error {
	if !slices.Contains(args, "--json") {
		return nil
	}
	f, err := newDocument(name)
	if err != nil {
		return err
	}
	_, err = f.WriteString(stdout)
	return errors.Join(err, f.Close())
}

// newDocument makes the file for the copy of a document, NAME.NUMBER.
func newDocument(name string) (*os.File, error) {
	return os.CreateTemp(os.Getenv(documentsDir), name+".*")
}

// checkDocuments validates every document in the folder. With whole it is an error
// as well that no document has a field which its schema describes.
func checkDocuments(dir string, whole bool) error {
	schemas, seen := map[string]*jsonschema.Schema{}, fields{}
	described, err := filepath.Glob(filepath.Join(schemaDir, "*"+schemaSuffix))
	if err != nil {
		return err
	}
	for _, file := range described {
		name := strings.TrimSuffix(filepath.Base(file), schemaSuffix)
		if schemas[name], err = compile(name); err != nil {
			return err
		}
		seen.declare(schemas[name])
	}
	documents, err := os.ReadDir(dir)
	var problems []error
	for _, d := range documents {
		name := strings.TrimSuffix(d.Name(), filepath.Ext(d.Name()))
		if schemas[name] == nil {
			return fmt.Errorf("%s --json has no schema in %s", name, schemaDir)
		}
		text, err := os.ReadFile(filepath.Join(dir, d.Name()))
		if err != nil {
			return err
		}
		doc, err := validate(schemas[name], text)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s --json does not print what its schema says: %w\n%.4000s", name, err, text))
			continue
		}
		seen.mark(schemas[name], doc)
	}
	for _, field := range slices.Sorted(maps.Keys(seen)) {
		if whole && !seen[field] {
			problems = append(problems, fmt.Errorf("no test prints the field %s", field))
		}
	}
	if n := len(problems) - maxProblems; n > 0 {
		problems = append(problems[:maxProblems], fmt.Errorf("%d more", n))
	}
	return errors.Join(err, errors.Join(problems...))
}

// maxProblems bounds how many problems are printed.
const maxProblems = 20

const (
	schemaDir    = "../docs/schema"
	schemaSuffix = ".v1.json"
)

// compile reads the schema of a tool or script.
func compile(name string) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c.Compile(filepath.Join(schemaDir, name+schemaSuffix))
}

func validate(s *jsonschema.Schema, text []byte) (doc any, err error) {
	if doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err == nil {
		err = s.Validate(doc)
	}
	return doc, err
}

// fields are the properties of schemas, by their places, and whether a document had
// them.
type fields map[string]bool

// declare adds the properties of a schema.
func (f fields) declare(s *jsonschema.Schema) {
	for name, property := range s.Properties {
		at := s.Location + "/properties/" + name
		if _, known := f[at]; known || property.Bool != nil {
			continue
		}
		f[at] = false
		f.declare(property)
	}
	for _, part := range slices.Concat(parts(s), items(s)) {
		f.declare(part)
	}
}

// mark notes the properties that a document has.
func (f fields) mark(s *jsonschema.Schema, value any) {
	for _, part := range parts(s) {
		if part.Validate(value) == nil {
			f.mark(part, value)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for name, property := range s.Properties {
			if v, has := value[name]; has && property.Bool == nil {
				f[s.Location+"/properties/"+name] = true
				f.mark(property, v)
			}
		}
	case []any:
		for _, part := range items(s) {
			for _, v := range value {
				f.mark(part, v)
			}
		}
	}
}

// parts are the schemas that apply to the same value. Conditions say nothing of
// fields that the rest does not.
func parts(s *jsonschema.Schema) []*jsonschema.Schema {
	all := slices.Concat(s.AllOf, s.OneOf)
	if s.Ref != nil {
		all = append(all, s.Ref)
	}
	return all
}

func items(s *jsonschema.Schema) []*jsonschema.Schema {
	if s.Items2020 == nil {
		return nil
	}
	return []*jsonschema.Schema{s.Items2020}
}

// TestSchemas: there is one for each tool and script with --json, and no other. Each
// is strict and says what every field is.
func TestSchemas(t *testing.T) {
	var speaking []string
	for _, command := range allTools() {
		if slices.Contains(command.Flags, urfave.Flag(cli.JSONFlag)) {
			speaking = append(speaking, command.Name)
		}
	}
	for _, name := range names(t, "../scripts") {
		text, err := os.ReadFile(filepath.Join("../scripts", name))
		require.NoError(t, err)
		if bytes.Contains(text, []byte("\n   --json ")) {
			speaking = append(speaking, name)
		}
	}
	var described []string
	for _, file := range names(t, schemaDir) {
		name, ok := strings.CutSuffix(file, schemaSuffix)
		require.True(t, ok, file)
		described = append(described, name)
		s, err := compile(name)
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
	for _, part := range slices.Concat(parts(s), items(s)) {
		requireStrict(t, part)
	}
}

// TestUsageErrorsAreDocuments: also where the flags cannot be read.
func TestUsageErrorsAreDocuments(t *testing.T) {
	for _, command := range allTools() {
		for _, args := range [][]string{{"--json", "--no-such-flag"}, {"--no-such-flag", "--json"}, {"--json", "a", "b", "c"}} {
			code, stdout, stderr := run(command, args...)
			require.Equal(t, exit.Failed, code)
			require.Contains(t, stdout, `"exit_code": 1`)
			require.Contains(t, stderr, command.Name+": error: ")
		}
	}
	for _, name := range []string{"ailee-backup", "ailee-monitor", "ailee-restore", "test_recovery.sh"} {
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
	inMemory(t)
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
	prints(exit.OK, start+2, "ailee-restore", "--data-dir", dir, "--dry-run")
	prints(exit.OK, start+3, "ailee-restore", "--data-dir", dir, "--snapshot-only")
	require.NoError(t, os.Truncate(filepath.Join(dir, "l2_snapshots.dat"), 100))
	prints(exit.Failed, start+4, "ailee-backup", "--data-dir", dir, "--keep", "1")
	prints(exit.Wrong, start+4, "ailee-monitor", "--data-dir", dir)
	prints(exit.OK, 0, "test_recovery.sh", "--mode", "corruption", "--corrupt-snapshot")
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "ailee_init_node"), []byte("#!/bin/sh\n"), 0o755))
	t.Setenv("AILEE_BIN", bin)
	prints(exit.Wrong, 0, "test_recovery.sh", "--mode", "corruption", "--data-dir", filepath.Join(dir, "stage"))
}

// TestDocumentOfTheDrillChain: it ends at once, without a standard input.
func TestDocumentOfTheDrillChain(t *testing.T) {
	code, stdout, stderr := run(drillchain.Tool(), "--json", "--tip", "5")
	require.Equal(t, exit.OK, code, stderr)
	require.Contains(t, stdout, `"url": "http://127.0.0.1:`)
}

// TestDocumentsOfLostEvents damages a table of many reorg events, of which the
// counter is the last record, block by block.
func TestDocumentsOfLostEvents(t *testing.T) {
	inMemory(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "reorg_db")
	for _, hash := range []string{"a", "b"} {
		db, err := reorgdb.Create(path)
		if err != nil {
			db, err = reorgdb.Open(path)
		}
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			for height := range uint64(200) {
				_, _, err := u.Block(t.Context(), reorgdb.Block{Height: height, Hash: strings.Repeat(hash, 64)}, 0)
				require.NoError(t, err)
			}
			return nil
		}))
		require.NoError(t, db.Close())
	}
	runTool(t, exit.OK, initreorgdb.Tool(), "--path", filepath.Join(dir, "copy"), "--copy-from", path)
	tables, err := filepath.Glob(filepath.Join(dir, "copy", "*.sst"))
	require.NoError(t, err)
	require.Len(t, tables, 1)
	whole := []byte(sum(t, tables[0]))
	lost := map[string]bool{}
	for at := len(whole) - 1; at > 0; at -= 100 {
		damaged := slices.Clone(whole)
		damaged[at] ^= 1
		require.NoError(t, os.WriteFile(tables[0], damaged, 0o600))
		_, stdout, _ := run(initreorgdb.Tool(), "--json", "--path", filepath.Join(t.TempDir(), "new"), "--copy-from", filepath.Join(dir, "copy"))
		var doc struct{ Lost map[string]int }
		require.NoError(t, json.Unmarshal([]byte(stdout), &doc))
		for kind := range doc.Lost {
			lost[kind] = true
		}
	}
	require.Subset(t, slices.Collect(maps.Keys(lost)), []string{"block", "reorg", "counter"})
}

// TestDocumentsOfManyPegOuts: a document lists the first 1,000.
func TestDocumentsOfManyPegOuts(t *testing.T) {
	dir := t.TempDir()
	state, file := filepath.Join(dir, "state.json"), filepath.Join(dir, "file.dat")
	st := snapshot.State{}
	for i := range 1003 {
		st.Bridge.PegOuts = append(st.Bridge.PegOuts, snapshot.PegOut{PegID: fmt.Sprintf("%04d", i)})
	}
	f, err := os.Create(state)
	require.NoError(t, err)
	require.NoError(t, errors.Join(snapshot.Encode(f, &st), f.Close()))
	code, stdout, _ := run(createanchor.Tool(), "--json", "--l2-state-file", state, "--output", file)
	require.Equal(t, exit.OK, code)
	require.Contains(t, stdout, `"pegouts_without_anchor_not_listed": 3`)
	code, stdout, _ = run(l2verify.Tool(), "--json", "--snapshot", file)
	require.Equal(t, exit.Wrong, code)
	require.Contains(t, stdout, `"pegout_problems_not_listed": 3`)
}

// TestDocumentsAreHeldToTheirSchemas: what a schema does not describe is seen.
func TestDocumentsAreHeldToTheirSchemas(t *testing.T) {
	s, err := compile("ailee_init_node")
	require.NoError(t, err)
	const whole = `{"data_dir": "d", "made": ["reorg_db"], "kept": [], "exit_code": 0}`
	_, err = validate(s, []byte(whole))
	require.NoError(t, err)
	seen := fields{}
	seen.declare(s)
	doc, _ := validate(s, []byte(whole))
	seen.mark(s, doc)
	require.True(t, seen[s.OneOf[0].Ref.Location+"/properties/made"])
	require.False(t, seen[s.OneOf[1].Ref.Location+"/properties/error"])
	for _, broken := range []string{"", whole[:20], whole + "x",
		strings.Replace(whole, `"kept": []`, `"kept": null`, 1), strings.Replace(whole, `"kept": [], `, "", 1),
		strings.Replace(whole, `"kept"`, `"keep"`, 1), strings.Replace(whole, `0`, `2`, 1), strings.Replace(whole, `0`, `0, "more": 1`, 1)} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "ailee_init_node.1"), []byte(broken), 0o600))
		require.ErrorContains(t, checkDocuments(dir, false), "ailee_init_node --json does not print what its schema says", broken)
	}
}
