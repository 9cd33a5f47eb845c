package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli/manual"
)

func TestMain(m *testing.M) {
	runAsTool()
	os.Exit(m.Run())
}

// stale names the files of the manual that differ from what is generated.
func stale(t *testing.T, root string, files map[string]string) (names []string) {
	present, err := committed(root)
	require.NoError(t, err)
	for _, name := range present {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		want, ok := files[name]
		switch {
		case !ok:
			names = append(names, name+" is extra")
		case want != string(text):
			names = append(names, name+" is stale: "+difference(want, string(text)))
		}
	}
	for name := range files {
		if !slices.Contains(present, name) {
			names = append(names, name+" is missing")
		}
	}
	slices.Sort(names)
	return names
}

// difference describes the first line that differs.
func difference(want, got string) string {
	have := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(have) || have[i] != line {
			return fmt.Sprintf("line %d should be %q", i+1, line)
		}
	}
	return "it is too long"
}

// TestManualIsUpToDate: the committed manual is the one that the commands give now.
func TestManualIsUpToDate(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for short mode: runs every example")
	}
	files, err := generate()
	require.NoError(t, err)
	require.Empty(t, stale(t, root(), files), "make generate")
}

func TestStaleManual(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"man/man1/a.1": "a\n", "docs/commands/a.md": "a\n", "completions/fish/a.fish": "a\n"}
	require.NoError(t, write(dir, files))
	require.Empty(t, stale(t, dir, files))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "man/man1/a.1"), []byte("b\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docs/commands/b.md"), nil, 0o644))
	require.NoError(t, os.Remove(filepath.Join(dir, "completions/fish/a.fish")))
	require.Equal(t, []string{"completions/fish/a.fish is missing", "docs/commands/b.md is extra",
		`man/man1/a.1 is stale: line 1 should be "a"`}, stale(t, dir, files))

	require.NoError(t, write(dir, files))
	require.Empty(t, stale(t, dir, files))
}

// TestEveryCommandAndFlag: every command has a page, and its page has every flag.
func TestEveryCommandAndFlag(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(root(), "cmd", "*"))
	require.NoError(t, err)
	require.Len(t, folders, len(tools))
	for _, command := range tools {
		require.Contains(t, folders, filepath.Join(root(), "cmd", command.Name))
		page := read(t, "docs/commands/"+command.Name+".md")
		man := read(t, "man/man1/"+command.Name+".1")
		for _, f := range command.Flags {
			if !f.(urfave.VisibleFlag).IsVisible() {
				continue // for tests
			}
			require.Contains(t, page, "`--"+f.Names()[0]+"`")
			require.Contains(t, man, `\-\-`+strings.ReplaceAll(f.Names()[0], "-", `\-`))
			for _, variable := range f.(urfave.DocGenerationFlag).GetEnvVars() {
				require.Contains(t, page, "- `"+variable+"`: ")
			}
		}
	}
	for _, name := range append(names(), "README") {
		for _, link := range regexp.MustCompile(`\]\((.+?)\)`).FindAllStringSubmatch(read(t, "docs/commands/"+name+".md"), -1) {
			require.FileExists(t, filepath.Join(root(), "docs/commands", link[1]))
		}
	}
	here, err := filepath.Glob(filepath.Join(root(), "scripts", "*"))
	require.NoError(t, err)
	for _, script := range here {
		switch name := filepath.Base(script); name {
		case "deps", "demo", "fuzz": // not for operators
		default:
			require.Contains(t, aliases, name)
		}
	}
}

func TestHelpOfAnotherForm(t *testing.T) {
	const good = "a - b\n\nUSAGE:\n   a [flags]\n\n   Text.\n\nFLAGS:\n   --x  y\n\nEXIT STATUS:\n   0  done\n"
	_, err := manual.Parse(good)
	require.NoError(t, err)
	for from, to := range map[string]string{"a - b": "a", "--x  y": "--x y", "0  done": "0 done", "USAGE": "USE", "FLAGS:\n   --x  y\n\n": ""} {
		_, err := manual.Parse(strings.Replace(good, from, to, 1))
		require.Error(t, err, to)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), name))
	require.NoError(t, err)
	return string(text)
}

// output runs a program that must succeed and print nothing on standard error.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.Dir = root()
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, &errs)
	require.Empty(t, errs.String(), "%s %q", name, args)
	return string(out)
}

func names() []string {
	var all []string
	for _, t := range tools {
		all = append(all, t.Name)
	}
	return all
}

func TestManPages(t *testing.T) {
	t.Setenv("MANWIDTH", "80")
	for _, name := range names() {
		page := "man/man1/" + name + ".1"
		text := output(t, "man", "--warnings", "-E", "UTF-8", "-l", page)
		at := -1
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"} {
			next := strings.Index(text, section+"\n")
			require.Greater(t, next, at, "%s: %s", page, section)
			at = next
		}
		require.Regexp(t, `\n +\$ .*`+regexp.QuoteMeta(name), text)
		require.NotContains(t, text, "‐", "%s: a hyphen in what can be pasted", page)
		require.Contains(t, output(t, "lexgrog", page), name+" - ", "whatis cannot read it")
	}
	for alias, name := range aliases {
		require.Equal(t, output(t, "man", "-M", "man", name), output(t, "man", "-M", "man", alias))
	}
}

// TestRecoveryPage: the man page has the whole runbook, and every other page refers to it.
func TestRecoveryPage(t *testing.T) {
	t.Setenv("MANWIDTH", "80")
	page := "man/man7/" + manual.RecoveryPage + ".7"
	text := output(t, "man", "--warnings", "-E", "UTF-8", "-l", page)
	require.Contains(t, output(t, "lexgrog", page), manual.RecoveryPage+" - ", "whatis cannot read it")
	require.NotContains(t, text, "](")
	require.NotContains(t, text, "‐")
	lines := map[string]bool{}
	for line := range strings.Lines(text) {
		lines[strings.TrimSpace(line)] = true
	}
	commands := 0
	runbook := read(t, "docs/runbook.md")
	for _, block := range regexp.MustCompile("(?s)```bash\n(.*?)```").FindAllStringSubmatch(runbook, -1) {
		for line := range strings.Lines(block[1]) {
			require.True(t, lines[strings.TrimSpace(line)], line)
			commands++
		}
	}
	require.Greater(t, commands, 50)
	for _, heading := range regexp.MustCompile("(?m)^## (.+)$").FindAllStringSubmatch(runbook, -1) {
		require.True(t, lines[heading[1]], heading[1])
	}
	_, others, _ := strings.Cut(text, "\nSEE ALSO\n")
	for _, name := range names() {
		require.Contains(t, others, name+"(1)")
		_, seeAlso, _ := strings.Cut(output(t, "man", "-E", "UTF-8", "-l", "man/man1/"+name+".1"), "\nSEE ALSO\n")
		require.Contains(t, seeAlso, manual.RecoveryPage+"(7)", name)
		require.Contains(t, read(t, "docs/commands/"+name+".md"), "(../runbook.md)")
	}
}

func TestRunbookOfAnotherForm(t *testing.T) {
	const good = "# R\n\nText, [there](#see-it) and [f.md](f.md#x).\n\n| a | b |\n| --- | --- |\n| `c` | [see it](#see-it) |\n\n## See it\n\n```bash\ntrue\n```\n"
	page, err := manual.Recovery(good, []string{"a"})
	require.NoError(t, err)
	require.Contains(t, page, `there (\fBSee it\fP) and docs/f.md.`)
	require.Contains(t, page, ".TP\n\\fBc\\fR\n\\fBsee it\\fP\n")
	for from, to := range map[string]string{"#see-it": "#sea", "| b |": "| b | c |"} {
		_, err := manual.Recovery(strings.Replace(good, from, to, 1), nil)
		require.Error(t, err, to)
	}
}

func TestBashCompletions(t *testing.T) {
	// complete_words WORD... prints the completions of the last word.
	const driver = `
compopt() { :; }
complete_words() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    local function
    function=$(complete -p "$1") && function=${function#*-F } && ${function%% *} && printf '%s\n' "${COMPREPLY[@]}"
}
for file in completions/bash/*; do . "$file" || exit; done
complete_words "$@"`
	complete := func(words ...string) []string {
		out := output(t, "bash", append([]string{"--norc", "-c", driver, "bash"}, words...)...)
		return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	}
	for _, name := range names() {
		require.Subset(t, complete(name, "--"), []string{"--json", "--help"}, name)
	}
	require.Equal(t, []string{"--accept-earlier-anchors"}, complete("ailee_l2_verify", "--ac"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_l2_verify", "--snapshot", "go.m"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_l2_verify", "--snapshot", "=", "go.m"))
	require.Contains(t, complete("ailee_l2_verify", "--snapshot", "="), "go.mod")
	require.Equal(t, []string{""}, complete("ailee_l2_verify", "--anchor-tx", "go.m"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_l2_verify", "go.m"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_prune_snapshots", "--keep", "2", "go.m"))
	require.Equal(t, []string{""}, complete("ailee_create_anchor", "go.m"))
	require.Equal(t, []string{"docs"}, complete("ailee_reorg_verify", "--db-path", "doc"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_extract_snapshots", "go.m"))
	require.Equal(t, []string{"dat", "json"}, complete("ailee_extract_snapshots", "--format", ""))
	require.Equal(t, []string{"reorg"}, complete("test_recovery.sh", "--mode", "r"))
	require.Equal(t, []string{"anchors", "anchor"}, complete("ailee_reorg_show", "anc"))
	require.Equal(t, []string{"pending"}, complete("ailee_reorg_show", "anchors", "--status", "p"))
	require.Equal(t, []string{"reorg_verify", "reorg_show"}, complete("ailee", "reorg_"))
	require.Equal(t, []string{"--accept-earlier-anchors"}, complete("ailee", "l2_verify", "--ac"))
	require.Equal(t, []string{"--accept-earlier-anchors"}, complete("ailee", "ailee_l2_verify", "--snapshot", "go.mod", "--ac"))
	require.Equal(t, []string{"go.mod"}, complete("ailee", "l2_verify", "--snapshot", "=", "go.m"))
	require.Equal(t, []string{"--backup-dir"}, complete("ailee", "doctor", "--ba"))
	require.Equal(t, []string{"docs"}, complete("ailee", "--install-links", "doc"))
}

func TestZshCompletions(t *testing.T) {
	// complete types a line and a tab into a shell and returns the resulting line.
	const driver = `
zmodload zsh/zpty
zpty shell zsh -f -i
# expect TEXT reads from the terminal until TEXT appears.
expect() { zpty -r shell REPLY "*$1*" }
zpty -w shell 'unsetopt zle_bracketed_paste prompt_cr prompt_sp; TERM=dumb PS1= fpath=($PWD/completions/zsh $fpath); autoload -U compinit; compinit -u -D; setopt no_beep; show() { zle -I; print -r -- "LINE<$BUFFER>" }; zle -N show; bindkey "^T" show; print READ""Y'
expect READY
for line; do
    zpty -w -n shell $'\C-u'"$line"$'\t\C-t'
    expect 'LINE<*>'
    print -r -- ${${REPLY##*LINE<}%%>*}
done`
	complete := func(line string) string {
		return strings.TrimSpace(output(t, "zsh", "-f", "-c", driver, "zsh", line))
	}
	require.Equal(t, "ailee_l2_verify --accept-earlier-anchors", complete("ailee_l2_verify --ac"))
	require.Equal(t, "ailee_l2_verify --snapshot go.mod", complete("ailee_l2_verify --snapshot go.mo"))
	require.Equal(t, "ailee_l2_verify --anchor-tx go.mo", complete("ailee_l2_verify --anchor-tx go.mo"))
	require.Equal(t, "ailee_l2_verify go.mod", complete("ailee_l2_verify go.mo"))
	require.Equal(t, "ailee_prune_snapshots --keep 2 go.mod", complete("ailee_prune_snapshots --keep 2 go.mo"))
	require.Equal(t, "ailee_extract_snapshots --format json", complete("ailee_extract_snapshots --format j"))
	require.Equal(t, "test_recovery.sh --mode reorg", complete("test_recovery.sh --mode r"))
	require.Equal(t, "ailee_reorg_show families", complete("ailee_reorg_show fam"))
	require.Equal(t, "ailee l2_verify", complete("ailee l2"))
	require.Equal(t, "ailee l2_verify --accept-earlier-anchors", complete("ailee l2_verify --ac"))
	require.Equal(t, "ailee ailee-drill --mode reorg", complete("ailee ailee-drill --mode r"))

	const load = `
fpath=($PWD/completions/zsh $fpath)
autoload -U compinit && compinit -u -D
for name; do autoload +X ${_comps[$name]:?} && print -r -- $_comps[$name]; done`
	require.Equal(t, "_"+strings.Join(names(), "\n_")+"\n", output(t, "zsh", append([]string{"-f", "-c", load, "zsh"}, names()...)...))
}

func TestFishCompletions(t *testing.T) {
	t.Setenv("HOME", t.TempDir()) // fish writes there
	complete := func(line string) []string {
		script := "for file in completions/fish/*; source $file; end; complete -C $argv[1]"
		return strings.Split(strings.TrimSuffix(output(t, "fish", "--no-config", "-c", script, line), "\n"), "\n")
	}
	for _, name := range names() {
		require.Regexp(t, "^--json\tprint .*JSON document.*, even on failure$", complete(name + " --js")[0])
	}
	require.Equal(t, []string{"--all\tverify every complete snapshot and name the newest valid one"}, complete("ailee_l2_verify --al"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_l2_verify --snapshot go.mo"))
	require.Equal(t, []string{""}, complete("ailee_l2_verify --anchor-tx go.mo"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_l2_verify go.mo"))
	require.Equal(t, []string{""}, complete("ailee_create_anchor go.mo"))
	require.Equal(t, []string{"go.mod"}, complete("ailee_extract_snapshots go.mo"))
	require.Equal(t, []string{"families"}, complete("ailee_reorg_show fam"))
	require.Equal(t, []string{"doctor\tsay what is wrong with a node's data, and what to do"}, complete("ailee doc"))
	require.Equal(t, []string{"--accept-earlier-anchors"}, first(complete("ailee l2_verify --ac")))
	require.Equal(t, []string{"go.mod"}, complete("ailee ailee_l2_verify --snapshot go.mo"))
	require.Equal(t, []string{"--list"}, first(complete("ailee --li")))
	require.Equal(t, []string{"json\twrite FORMAT: dat, or json for the state file of ailee_create_anchor"}, complete("ailee_extract_snapshots --format j"))
}

// first returns the first column of the lines.
func first(lines []string) (words []string) {
	for _, line := range lines {
		word, _, _ := strings.Cut(line, "\t")
		words = append(words, word)
	}
	return words
}
