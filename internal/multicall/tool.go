package multicall

import (
	"context"
	"errors"
	"fmt"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
)

// Options are the options of the program itself, when it is not called as a command.
type Options struct {
	List  bool   // print the names of the commands
	Links string // the folder for links to the program, one per command
}

// linksFlag is the only flag of the program that takes a value.
const linksFlag = "install-links"

// Tool describes the program itself.
func Tool() cli.Tool {
	return cli.Tool{
		Name:      Name,
		Summary:   "every command of the AILEE recovery toolkit in one program",
		Arguments: "COMMAND [ARGUMENT]...",
		Optional:  cli.AnyNumber,
		Description: `
   Runs COMMAND, with or without its prefix ailee_ or ailee-. Called by the name of a
   command, as through the links that packages install, the program is that command:
   ailee_l2_verify and ailee l2_verify are the same.

` + listing() + `

   ailee COMMAND --help says what a command does, ailee-recovery(7) what to do when
   something is wrong.`,
		Examples: `
# What is wrong with a node's data, and what is to be done?
ailee doctor
# Install a link for each command to the unpacked program
ailee --install-links /usr/local/bin`,
		SeeAlso: names(),
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "list", Usage: "print the names of the commands, one per line"},
			&urfave.StringFlag{Name: linksFlag, Usage: "make a link to this program for each command, in the folder `DIR`"},
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
			if words := c.Args().Slice(); len(words) > 0 {
				return notCommand(words[0])
			}
			return cli.Parsed(parse, Run)(ctx, c, out)
		},
	}
}

func names() (all []string) {
	for _, t := range Commands() {
		all = append(all, t.Name)
	}
	return all
}

// listing returns one line per command.
func listing() string {
	var lines []string
	for _, t := range Commands() {
		lines = append(lines, fmt.Sprintf("      %-20s%s", Short(t.Name), t.Summary))
	}
	return strings.Join(lines, "\n")
}

func parse(c *urfave.Context) (Options, error) {
	o := Options{List: c.Bool("list"), Links: c.String(linksFlag)}
	switch {
	case c.IsSet(linksFlag) && o.Links == "":
		return o, errors.New("--install-links is empty")
	case o.List && o.Links != "":
		return o, errors.New("--list and --install-links cannot be used together")
	case !o.List && o.Links == "":
		return o, errors.New("no command is given")
	}
	return o, nil
}

// notCommand is the error for a first argument that cannot be run as a command.
func notCommand(word string) error {
	if t, ok := find(word); ok {
		return exit.Failf("put them after the command: "+exit.Command(Name, Short(t.Name), "--help")+" shows them", "there are flags before the command %s", Short(t.Name))
	}
	hint := Name + " --help lists the commands"
	if found := meant(word); len(found) > 0 {
		hint = "did you mean " + Name + " " + strings.Join(found, ", or "+Name+" ") + "? " + hint
	}
	return exit.Failf(hint, "there is no command %q", word)
}

// meant returns the commands that may be meant by an unknown word: those whose names contain
// it, or else the one that it resembles most.
func meant(word string) (found []string) {
	word = strings.ReplaceAll(Short(strings.ToLower(word)), "-", "_")
	var all []string
	for _, t := range Commands() {
		name := Short(t.Name)
		if all = append(all, name); len(word) > 3 && strings.Contains(name, word) {
			found = append(found, name)
		}
	}
	if best := cli.Closest(word, all); len(found) == 0 && best != "" {
		found = []string{best}
	}
	return found
}

// Run prints the names of the commands, or makes links for them.
func Run(_ context.Context, o Options, out *cli.IO) error {
	if o.Links != "" {
		return installLinks(o.Links, out)
	}
	type command struct {
		Name    string `json:"name"`
		Summary string `json:"summary"`
	}
	var all []command
	for _, t := range Commands() {
		all = append(all, command{t.Name, t.Summary})
		out.Printf("%s\n", t.Name)
	}
	if out.JSON() {
		out.Document(map[string]any{"commands": all, "exit_code": exit.OK})
	}
	return nil
}
