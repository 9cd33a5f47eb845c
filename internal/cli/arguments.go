package cli

import (
	"fmt"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
)

// checkArguments refuses what is left over: the flag package stops at the first
// positional argument, and a flag behind it would silently not count.
func checkArguments(t Tool, all []string, c *urfave.Context) error {
	args := c.Args().Slice()
	before := all[1 : len(all)-len(args)]
	// Behind a -- everything is meant as an argument.
	meant := len(before) > 0 && before[len(before)-1] == "--"
	if flags, rest := splitFlags(t, args); len(flags) > 0 && !meant {
		order := slices.Concat([]string{t.Name}, before, flags, rest)
		return exit.Failf("flags come first: "+exit.Command(order...), "the flag %s comes after an argument", terminal.Text(flags[0]))
	}
	for _, name := range t.Required {
		if !c.IsSet(name) {
			return usage(t, fmt.Errorf("the flag --%s is missing", name))
		}
	}
	switch {
	case len(args) > t.Positional+t.Optional:
		return usage(t, fmt.Errorf("too many arguments: %s", exit.Command(args[t.Positional+t.Optional:]...)))
	case len(args) < t.Positional:
		return usage(t, fmt.Errorf("missing argument: expected %s", t.Arguments))
	}
	return nil
}

// splitFlags takes the flags, with their values, from among the arguments.
func splitFlags(t Tool, args []string) (flags, rest []string) {
	takesValue := valued(t)
	for i := 0; i < len(args); i++ {
		arg := args[i]
		// The first argument ended the flags: a - in front is its own.
		if i == 0 || len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		if arg == "--" {
			return flags, append(rest, args[i:]...)
		}
		flags = append(flags, arg)
		if takesValue[strings.TrimLeft(arg, "-")] && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return flags, rest
}

// valued are the names of flags, and whether they take a value.
func valued(t Tool) map[string]bool {
	takesValue := map[string]bool{}
	for _, f := range t.Flags {
		_, isBool := f.(*urfave.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	return takesValue
}

// flagsFirst moves the flags, with their values, in front of the arguments, for a tool
// that takes them anywhere. What comes after -- stays an argument.
func flagsFirst(t Tool, args []string) []string {
	if !t.FlagsAnywhere || len(args) == 0 {
		return args
	}
	takesValue := valued(t)
	moved, rest := []string{args[0]}, []string(nil)
	for i := 1; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return slices.Concat(moved, []string{arg}, rest, args[i+1:])
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
		case takesValue[strings.TrimLeft(arg, "-")] && i+1 < len(args):
			i++
			moved = append(moved, arg, args[i])
		default:
			moved = append(moved, arg)
		}
	}
	return append(moved, rest...)
}

// withValues gives the flags their values that stand without one.
func withValues(t Tool, args []string) []string {
	if len(t.Bare) == 0 {
		return args
	}
	var all []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(all, args[i:]...)
		}
		bare, ok := t.Bare[strings.TrimLeft(arg, "-")]
		switch {
		case i == 0 || !ok || arg[0] != '-':
			all = append(all, arg)
		case i+1 < len(args) && slices.Contains(bare.Values, args[i+1]):
			i++
			all = append(all, arg+"="+args[i])
		default:
			all = append(all, arg+"="+bare.Means)
		}
	}
	return all
}
