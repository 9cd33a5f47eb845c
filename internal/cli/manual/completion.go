package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// words has the values to choose from, by the help's name for the value.
var words = map[string][]string{
	"FORMAT": {"dat", "json"},
	"MODE":   {"crash", "reorg", "corruption"},
	"STATUS": {"pending", "confirmed", "invalidated", "failed"},
	"WHAT":   {"anchors", "anchor", "events", "blocks", "families"},
}

func isFile(value string) bool   { return value == "FILE" || value == "OUT" || value == "SOURCE" }
func isFolder(value string) bool { return value == "DIR" }

var notInNames = regexp.MustCompile("[^a-z0-9_]")

// Bash returns the completion for bash, which needs nothing but bash 4.
func (c Command) Bash() string {
	function := "_" + notInNames.ReplaceAllString(c.Name, "_")
	groups := map[string][]string{} // flags by what completes their values
	var all []string
	for _, f := range c.Flags {
		all = append(all, f.Name)
		if f.Short != "" {
			all = append(all, f.Short)
		}
		if f.Value != "" {
			groups[bashAction(f.Value)] = append(groups[bashAction(f.Value)], f.Name)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# shellcheck shell=bash
# Completion of %s for bash, made by make generate.

%s() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    # --flag=value is three words.
    case $cur,$prev in
    =,*) cur= ;;
    *,=) prev=${COMP_WORDS[COMP_CWORD - 2]} ;;
    esac
%s    case $prev in
`, c.Name, function, c.bashSubcommand())
	for _, action := range []string{bashFiles, bashFolders} {
		if flags := groups[action]; flags != nil {
			fmt.Fprintf(&b, "    %s) %s ;;\n", strings.Join(flags, " | "), action)
			delete(groups, action)
		}
	}
	for _, f := range c.Flags {
		if action := bashAction(f.Value); f.Value != "" && groups[action] != nil {
			fmt.Fprintf(&b, "    %s) %s ;;\n", strings.Join(groups[action], " | "), action)
			delete(groups, action)
		}
	}
	rest := "COMPREPLY=()"
	if arguments := c.arguments(); len(c.Commands) > 0 {
		rest = bashWords(c.words())
	} else if len(arguments) > 0 {
		rest = bashFiles
		if words[arguments[0].name] != nil {
			rest = bashAction(arguments[0].name)
		}
	}
	fmt.Fprintf(&b, `    *)
        case $cur in
        -*) mapfile -t COMPREPLY < <(compgen -W '%s' -- "$cur") ;;
        *) %s ;;
        esac
        ;;
    esac
}
complete -F %s %s
`, strings.Join(all, " "), rest, function, c.Name)
	return b.String()
}

const (
	bashFiles   = `compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$cur")`
	bashFolders = `compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$cur")`
)

func bashAction(value string) string {
	switch {
	case isFile(value):
		return bashFiles
	case isFolder(value):
		return bashFolders
	case words[value] != nil:
		return bashWords(words[value])
	}
	return "COMPREPLY=()"
}

func bashWords(words []string) string {
	return fmt.Sprintf(`mapfile -t COMPREPLY < <(compgen -W '%s' -- "$cur")`, strings.Join(words, " "))
}

// Zsh returns the completion for zsh.
func (c Command) Zsh() string {
	quote := strings.NewReplacer(`'`, `'\''`, `[`, `\[`, `]`, `\]`, `:`, `\:`, `\`, `\\`)
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# Completion of %s for zsh, made by make generate.\n\n%s_arguments -S", c.Name, c.Name, c.zshSubcommand())
	for _, f := range c.Flags {
		if f.Short == "" {
			fmt.Fprintf(&b, " \\\n    '%s[%s]", f.Name, quote.Replace(f.Text))
		} else {
			fmt.Fprintf(&b, " \\\n    '(%s %s)'{%s,%s}'[%s]", f.Short, f.Name, f.Short, f.Name, quote.Replace(f.Text))
		}
		if f.Value != "" {
			fmt.Fprintf(&b, ":%s:%s", quote.Replace(f.Value), zshAction(f.Value))
		}
		b.WriteString("'")
	}
	arguments := c.arguments()
	if len(c.Commands) > 0 {
		fmt.Fprintf(&b, " \\\n    '1:%s:(%s)'", arguments[0].name, strings.Join(c.words(), " "))
		arguments = nil // the rest is the command's
	}
	for i, argument := range arguments {
		if strings.Contains(c.Usage, several) {
			// Only the end shows which of them is the last.
			fmt.Fprintf(&b, " \\\n    '*:%s:%s'", argument.name, zshAction(argument.name))
			break
		}
		colon := ":"
		if argument.optional {
			colon = "::"
		}
		fmt.Fprintf(&b, " \\\n    '%d%s%s:%s'", i+1, colon, argument.name, zshAction(argument.name))
	}
	return b.String() + "\n"
}

func zshAction(value string) string {
	switch {
	case isFile(value):
		return "_files"
	case isFolder(value):
		return "_files -/"
	case words[value] != nil:
		return "(" + strings.Join(words[value], " ") + ")"
	}
	return " "
}

// Fish returns the completion for fish.
func (c Command) Fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %s for fish, made by make generate.\n\n", c.Name)
	if !slices.ContainsFunc(c.arguments(), func(a argument) bool { return isFile(a.name) || isFolder(a.name) }) {
		fmt.Fprintf(&b, "complete -c %s -f\n", c.Name)
	}
	if arguments := c.arguments(); len(arguments) > 0 && words[arguments[0].name] != nil {
		fmt.Fprintf(&b, "complete -c %s -a '%s'\n", c.Name, strings.Join(words[arguments[0].name], " "))
	}
	b.WriteString(c.fishSubcommand())
	condition := ""
	if len(c.Commands) > 0 {
		condition = " -n __fish_use_subcommand"
	}
	for _, f := range c.Flags {
		fmt.Fprintf(&b, "complete -c %s%s -l %s", c.Name, condition, strings.TrimPrefix(f.Name, "--"))
		if f.Short != "" {
			fmt.Fprintf(&b, " -s %s", strings.TrimPrefix(f.Short, "-"))
		}
		switch {
		case f.Value == "":
		case isFile(f.Value):
			b.WriteString(" -r -F")
		case isFolder(f.Value):
			b.WriteString(" -x -a '(__fish_complete_directories)'")
		case words[f.Value] != nil:
			fmt.Fprintf(&b, " -x -a '%s'", strings.Join(words[f.Value], " "))
		default:
			b.WriteString(" -x")
		}
		fmt.Fprintf(&b, " -d '%s'\n", fishQuote.Replace(f.Text))
	}
	return b.String()
}

var fishQuote = strings.NewReplacer(`'`, `\'`, `\`, `\\`)
