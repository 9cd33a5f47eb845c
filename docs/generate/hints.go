package main

import (
	"fmt"
	"slices"
	"strings"

	"ailee-recovery/docs/generate/hints"
	"ailee-recovery/internal/multicall"
)

// hintsFile is the table of all hints.
const hintsFile = "docs/hints.md"

// hintPackages are the packages that are searched for hints.
var hintPackages = []string{"./internal/...", "./reorgdb", "./snapshot/..."}

// shared are the headings for the hints of packages that several commands use.
var shared = map[string]string{
	"internal/bitcoin":                            "Calls to a Bitcoin node",
	"internal/bitcoin/wallet":                     "The wallet of a Bitcoin node",
	"internal/cli":                                "Every command",
	"internal/cli/flags":                          "Archives",
	"internal/command/resyncblocks/followanchors": "Following anchors",
	"internal/durable":                            "Files and folders",
	"internal/input":                              "Compressed files",
	"internal/reorgtool":                          "The reorg database",
	"internal/snapshottool":                       "The snapshot file",
	"internal/swap":                               "A file that is replaced while a node is running",
}

const hintsHead = `# Hints

What each command says to do next, on the line after an error or warning. This page is written by ${make generate} from the source. A test checks that each command line in it can be run as it is: the command exists and takes these flags and arguments.

Capitals stand for values, and … for more words. If the data or the backups are not in their usual places, the command lines in a hint also have ${--data-dir} and ${--backup-dir}. ${ailee-doctor} and the [runbook](runbook.md) describe the way out of the same situations in more detail.
`

// hintsPage returns the text of hintsFile.
func hintsPage() (string, error) {
	all, err := hints.Collect(root(), hintPackages...)
	if err != nil {
		return "", err
	}
	sections := map[string][]hints.Hint{}
	for _, h := range all {
		name, err := heading(h.Package)
		if err != nil {
			return "", err
		}
		sections[name] = append(sections[name], h)
	}
	names := make([]string, 0, len(sections))
	for name := range sections {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	var b strings.Builder
	b.WriteString(strings.NewReplacer("${", "`", "}", "`").Replace(hintsHead))
	for _, name := range names {
		fmt.Fprintf(&b, "\n## %s\n\n| when | hint |\n| --- | --- |\n", name)
		for _, h := range sections[name] {
			fmt.Fprintf(&b, "| %s | %s |\n", cell(h.When), cell(hints.Marked(h.Text)))
		}
	}
	return b.String(), nil
}

// heading returns the command that a package belongs to, or the subject of its hints.
func heading(folder string) (string, error) {
	if name, ok := shared[folder]; ok {
		return name, nil
	}
	short := folder[strings.LastIndex(folder, "/")+1:]
	for _, t := range append(multicall.Commands(), multicall.Tool()) {
		if strings.ReplaceAll(multicall.Short(t.Name), "_", "") == short || t.Name == multicall.Name && short == "multicall" {
			return t.Name, nil
		}
	}
	return "", fmt.Errorf("no heading for the hints of %s", folder)
}

func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(strings.TrimSpace(text))
}
