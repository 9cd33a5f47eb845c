package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
)

// arranged is a command line whose flags were moved in front of its arguments.
type arranged struct {
	flags []string // with their values, each one word
	rest  []string // the arguments
	json  bool     // --json is among the flags
	help  bool     // so is --help
}

// arrange moves the flags, wherever they are, in front of the arguments: the flag package
// stops at the first argument and would silently ignore a flag after it. Everything after
// -- is an argument.
func arrange(t Tool, args []string) (a arranged, err error) {
	known := takesValue(t)
	// Only the first error is reported; the flags after it still say how to print it.
	fail := func(e error) { err = cmp.Or(err, e) }
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			a.rest = append(a.rest, args[i+1:]...)
			break
		}
		name, value, hasValue, isFlag := cutFlag(arg)
		if !isFlag {
			a.rest = append(a.rest, arg)
			continue
		}
		valued, isKnown := known[name]
		bare, isBare := t.Bare[name]
		switch {
		case !isKnown:
			fail(unknownFlag(t, name))
			continue
		case hasValue || !valued:
		case isBare && i+1 < len(args) && slices.Contains(bare.Values, args[i+1]):
			i++
			arg += "=" + args[i]
		case isBare:
			arg += "=" + bare.Means
		case i+1 == len(args) || isFlagOf(known, args[i+1]):
			fail(missingValue(t, name, args[i+1:]))
			continue
		default:
			i++
			arg += "=" + args[i]
		}
		a.flags = append(a.flags, arg)
		a.help = a.help || slices.Contains(urfave.HelpFlag.Names(), name)
		if name == JSONFlag.Name {
			a.json = !hasValue
			if on, err := strconv.ParseBool(value); err == nil {
				a.json = on
			}
		}
	}
	return a, err
}

// line is the command line for the flag package. With --help the arguments are left out: the
// help is that of the tool, whatever they are.
func (a arranged) line(name string) []string {
	if a.help {
		return slices.Concat([]string{name}, a.flags)
	}
	return slices.Concat([]string{name}, a.flags, []string{"--"}, a.rest)
}

// cutFlag splits a flag into name and value. A lone - is an argument.
func cutFlag(arg string) (name, value string, hasValue, isFlag bool) {
	if len(arg) < 2 || arg[0] != '-' {
		return "", "", false, false
	}
	name, value, hasValue = strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	return name, value, hasValue, true
}

// takesValue maps the name of each flag to whether it takes a value.
func takesValue(t Tool) map[string]bool {
	known := map[string]bool{}
	for _, f := range slices.Concat(t.Flags, []urfave.Flag{urfave.HelpFlag, urfave.VersionFlag}) {
		_, isBool := f.(*urfave.BoolFlag)
		for _, name := range f.Names() {
			known[name] = !isBool
		}
	}
	return known
}

// isFlagOf reports whether a word is one of the flags, or the -- that ends them: taken for
// the value of another flag, it would silently have no effect.
func isFlagOf(known map[string]bool, word string) bool {
	name, _, _, isFlag := cutFlag(word)
	_, isKnown := known[name]
	return isFlag && (isKnown || word == "--")
}

// dashed returns a flag as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func missingValue(t Tool, name string, next []string) error {
	if len(next) == 0 || next[0] == "--" {
		return usage(t, fmt.Errorf("the flag %s needs a value", dashed(name)))
	}
	return exit.Failf("if that is the value, write "+exit.Command(dashed(name)+"="+next[0]), "the flag %s needs a value, but %s is a flag", dashed(name), next[0])
}

func unknownFlag(t Tool, name string) error {
	var names []string
	for _, f := range slices.Concat(t.Flags, []urfave.Flag{urfave.HelpFlag, urfave.VersionFlag}) {
		if v, ok := f.(urfave.VisibleFlag); !ok || v.IsVisible() {
			names = append(names, f.Names()[0])
		}
	}
	best := Closest(name, names)
	err := fmt.Errorf("there is no flag %s", dashed(name))
	if best == "" {
		return usage(t, err)
	}
	return exit.Fail("did you mean "+dashed(best)+"? "+usageHint(t.Name), err)
}

// checkArguments refuses a command line with missing or surplus arguments.
func checkArguments(t Tool, c *urfave.Context) error {
	args := c.Args().Slice()
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
	return checkStreams(t, c)
}

// checkStreams refuses - where it means neither standard input nor standard output, so that
// no file or folder with that name is created by accident.
func checkStreams(t Tool, c *urfave.Context) error {
	for _, f := range t.Flags {
		name, value := f.Names()[0], pathOf(f)
		if value != "" && !slices.Contains(t.Stdin, name) && slices.Contains(values(c, f), input.Stdin) {
			return noStream("--"+name+" "+input.Stdin, value)
		}
	}
	names := strings.FieldsFunc(t.Arguments, func(r rune) bool { return strings.ContainsRune("[]. |", r) })
	for i, arg := range c.Args().Slice() {
		if arg != input.Stdin || len(names) == 0 {
			continue
		}
		// The last name is that of the last argument; the one before it may cover several.
		name := names[len(names)-1]
		if i < c.NArg()-1 {
			name = names[min(i, max(0, len(names)-2))]
		}
		if isPath(name) && !slices.Contains(t.Stdin, name) {
			return noStream(name+" "+input.Stdin, name)
		}
	}
	return nil
}

// noStream is the error for a - that has no meaning.
func noStream(given, value string) error {
	what := "file"
	if value == "DIR" {
		what = "folder"
	}
	return exit.Failf("name a "+what+"; for one called -, write ./-", "%s: neither standard input nor standard output can be used here", given)
}

// isPath reports whether the help uses this name for a path.
func isPath(value string) bool {
	return slices.Contains([]string{"FILE", "DIR", "OUT", "SOURCE", "A", "B"}, value)
}

// pathOf returns the help's name for the path that a flag takes, "" if it takes none.
func pathOf(f urfave.Flag) string {
	doc, ok := f.(urfave.DocGenerationFlag)
	if !ok {
		return ""
	}
	if value := placeholder(doc.GetUsage()); isPath(value) {
		return value
	}
	return ""
}

// Repeated is the value of a flag that may be given several times.
type Repeated interface{ Values() []string }

// values returns the text values of a flag.
func values(c *urfave.Context, f urfave.Flag) []string {
	name := f.Names()[0]
	switch f.(type) {
	case *urfave.StringFlag:
		return []string{c.String(name)}
	case *urfave.GenericFlag:
		if all, ok := c.Generic(name).(Repeated); ok {
			return all.Values()
		}
	}
	return nil
}
