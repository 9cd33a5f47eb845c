package manual

import (
	"fmt"
	"strings"
)

// Subcommand is a command as the first argument of a program that has several.
type Subcommand struct {
	Word    string // the argument; Name may be used instead
	Name    string // of the command
	Summary string // one line
}

// words returns the first arguments to choose from.
func (c Command) words() []string {
	var all []string
	for _, s := range c.Commands {
		all = append(all, s.Word)
	}
	return all
}

// cases returns the lines of a case statement, the same in bash and zsh, that sets name to
// the command of a first argument.
func (c Command) cases(indent string) string {
	var b strings.Builder
	for _, s := range c.Commands {
		fmt.Fprintf(&b, "%s%s | %s) name=%s ;;\n", indent, s.Word, s.Name, s.Name)
	}
	return b.String()
}

// bashSubcommand leaves everything after the first argument to the completion of that
// command, which is in a file next to this one.
func (c Command) bashSubcommand() string {
	if len(c.Commands) == 0 {
		return ""
	}
	return `    local name=
    [ "$COMP_CWORD" -lt 2 ] || case ${COMP_WORDS[1]} in
` + c.cases("    ") + `    esac
    if [ -n "$name" ]; then
        local words=("$name" "${COMP_WORDS[@]:2}")
        local COMP_WORDS=("${words[@]}") COMP_CWORD=$((COMP_CWORD - 1))
        # shellcheck source=/dev/null
        declare -F "_${name//-/_}" >/dev/null || . "${BASH_SOURCE[0]%/*}/$name"
        "_${name//-/_}"
        return
    fi
`
}

// zshSubcommand does the same for zsh.
func (c Command) zshSubcommand() string {
	if len(c.Commands) == 0 {
		return ""
	}
	return `local name=
(( CURRENT < 3 )) || case $words[2] in
` + c.cases("") + `esac
if [[ -n $name ]]; then
    shift words
    words[1]=$name
    (( CURRENT-- ))
    ${_comps[$name]:?}
    return
fi

`
}

// fishSubcommand does the same for fish; it completes the first argument, too.
func (c Command) fishSubcommand() string {
	if len(c.Commands) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("function __" + c.Name + "_subcommand\n    set -l before (commandline -opc)\n    switch $before[2]\n")
	for _, s := range c.Commands {
		fmt.Fprintf(&b, "    case %s %s\n        set before[2] %s\n", s.Word, s.Name, s.Name)
	}
	b.WriteString("    case '*'\n        return\n    end\n    complete -C (string join -- ' ' (string escape -- $before[2..-1]))' '(commandline -ct)\nend\n")
	fmt.Fprintf(&b, "complete -c %s -n 'not __fish_use_subcommand' -a '(__%s_subcommand)'\n", c.Name, c.Name)
	for _, s := range c.Commands {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a %s -d '%s'\n", c.Name, s.Word, fishQuote.Replace(s.Summary))
	}
	return b.String()
}
