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

// hintPackages are those that are searched for hints.
var hintPackages = []string{"./internal/...", "./reorgdb", "./snapshot/..."}

// shared are the headings for the hints of packages that several commands use.
var shared = map[string]string{
	"internal/bitcoin":                            "Calls to a Bitcoin node",
	"internal/bitcoin/wallet":                     "The wallet of a Bitcoin node",
	"internal/cli":                                "Every command",
	"internal/cli/flags":                          "Archives",
	"internal/command/resyncblocks/followanchors": "Anchors that are followed",
	"internal/durable":                            "Files and folders",
	"internal/input":                              "Compressed files",
	"internal/reorgtool":                          "The reorg database",
	"internal/snapshottool":                       "The snapshot file",
	"internal/swap":                               "A file that is replaced beside a node",
}

const hintsHead = `# Hints

What each command says to do next, on the line after an error or warning. Written by ${make generate} from the source, where a test holds that each command line in it can be run as it is: the command exists and takes these flags and arguments.

Capitals stand for values, and … for more words. Where the data or the backups are not where they usually are, the command lines that a hint prints have ${--data-dir} and ${--backup-dir}, too. The steps of ${ailee-doctor}, and the [runbook](runbook.md), are longer ways for the same situations.
`

// hintsPage is the text of hintsFile.
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

// heading is the command that a package is of, or what its hints are about.
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
