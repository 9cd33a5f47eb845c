package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/docs/generate/hints"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/multicall"
)

// TestHintsAreUpToDate: the committed table is the one that the source gives, and each hint has
// its situation.
func TestHintsAreUpToDate(t *testing.T) {
	page, err := hintsPage()
	require.NoError(t, err)
	require.Equal(t, page, read(t, hintsFile), "make generate")
}

// TestCommandsInHints: the command lines in hints can be run as they are.
func TestCommandsInHints(t *testing.T) {
	all, err := hints.Collect(root(), hintPackages...)
	require.NoError(t, err)
	require.Greater(t, len(all), 300)
	checked := 0
	for _, h := range all {
		for _, words := range hints.Commands(h.Text) {
			assert.NoError(t, runnable(words), "%s: %s", h.At, h.Text)
			checked++
		}
		for _, word := range []string{"see whether", "look whether", "a backup, or see"} {
			require.NotContains(t, h.Text, word, h.At)
		}
	}
	require.Greater(t, checked, 150)
}

// runnable returns why a command line cannot be run, nil if it can. Capitals count as values.
func runnable(words []string) error {
	if slices.Contains(hints.Programs, words[0]) {
		return nil
	}
	known := append(multicall.Commands(), multicall.Tool())
	i := slices.IndexFunc(known, func(t cli.Tool) bool { return t.Name == words[0] })
	if i < 0 {
		return fmt.Errorf("there is no command %s", words[0])
	}
	tool := known[i]
	flags := map[string]urfave.Flag{"help": &urfave.BoolFlag{}, "version": &urfave.BoolFlag{}}
	for _, f := range tool.Flags {
		for _, name := range f.Names() {
			flags[name] = f
		}
	}
	given, arguments := map[string]bool{}, 0
	for n := 1; n < len(words); n++ {
		name, ok := strings.CutPrefix(words[n], "--")
		if !ok {
			arguments++
			continue
		}
		f := flags[name]
		if f == nil {
			return fmt.Errorf("%s has no flag --%s", tool.Name, name)
		}
		given[name] = true
		if _, isBool := f.(*urfave.BoolFlag); isBool || tool.Bare[name].Means != "" && (n+1 == len(words) || strings.HasPrefix(words[n+1], "--")) {
			continue
		}
		if n++; n == len(words) || strings.HasPrefix(words[n], "--") {
			return fmt.Errorf("--%s lacks its value", name)
		}
	}
	if given["help"] {
		return nil
	}
	for _, name := range tool.Required {
		if !given[name] {
			return fmt.Errorf("%s needs --%s", tool.Name, name)
		}
	}
	if arguments < tool.Positional || arguments > tool.Positional+tool.Optional {
		return fmt.Errorf("%s takes %d to %d arguments, not %d", tool.Name, tool.Positional, tool.Positional+tool.Optional, arguments)
	}
	return nil
}

func TestCommandsThatCannotBeRun(t *testing.T) {
	for _, good := range []string{"ailee_l2_verify --all --snapshot FILE", "ailee-doctor", "ailee_prune_snapshots --in-place --keep all --file FILE", "systemctl stop UNIT"} {
		require.NoError(t, runnable(strings.Fields(good)))
	}
	for bad, why := range map[string]string{
		"ailee-repair":                          "there is no command ailee-repair",
		"ailee_l2_verify --al":                  "ailee_l2_verify has no flag --al",
		"ailee_l2_verify --snapshot --all":      "--snapshot lacks its value",
		"ailee_recover_snapshots --dry-run OUT": "ailee_recover_snapshots takes 2 to",
		"ailee-doctor OUT":                      "ailee-doctor takes 0 to 0 arguments, not 1",
	} {
		require.ErrorContains(t, runnable(strings.Fields(bad)), why)
	}
}
