package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/golden"
)

// TestReadmeSession: the session in README.md is what the tools print, except for the folders.
func TestReadmeSession(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	session := strings.Split(strings.SplitAfter(string(readme), "## A first look\n")[1], "```\n")[1]
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(golden.Dir(), "write", "node-written-clean.dat"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots.dat"), data, 0o600))
	folders := strings.NewReplacer("/var/lib/ailee", dir, "/tmp/snapshots", filepath.Join(dir, "snapshots"))
	var printed strings.Builder
	for line := range strings.Lines(session) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		args := strings.Fields(folders.Replace(command))
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		require.NoError(t, err, "%s%s", line, out)
		printed.WriteString(folders.Replace(line) + string(out))
	}
	require.Equal(t, folders.Replace(session), printed.String())
}

// TestReadmeMessages: the messages in the table of symptoms are those of the tools, word for word.
func TestReadmeMessages(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(readme), "## From symptom to command\n")
	table, _, _ = strings.Cut(table, "\n## ")
	messages := literals(t)
	quoted := 0
	for line := range strings.Lines(table) {
		symptom, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, match := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(symptom, -1) {
			quoted++
			require.True(t, slices.ContainsFunc(messages, func(m *regexp.Regexp) bool { return m.MatchString(match[1]) }), "no message matches %q", match[1])
		}
	}
	require.GreaterOrEqual(t, quoted, 6)
}

// literals returns the clauses of the product's string literals as patterns of what they print, if
// they have at least two words besides their verbs.
func literals(t *testing.T) (all []*regexp.Regexp) {
	t.Helper()
	verb := regexp.MustCompile(`%[-+#0-9.*]*[a-zA-Z]`)
	for _, folder := range []string{"internal", "snapshot", "reorgdb"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("..", folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					return true
				}
				for _, clause := range regexp.MustCompile(`[,:;] `).Split(text, -1) {
					parts := verb.Split(clause, -1)
					for i := range parts {
						parts[i] = regexp.QuoteMeta(parts[i])
					}
					if len(strings.Fields(strings.Join(parts, ""))) > 1 {
						all = append(all, regexp.MustCompile(`^`+strings.Join(parts, `.+`)+`$`))
					}
				}
				return true
			})
			return nil
		}))
	}
	return all
}
