// Package cli is what every command shares: how it is run, what it prints on its streams, and
// what its help says.
package cli

import (
	"context"
	"math"

	urfave "github.com/urfave/cli/v2"
)

// Entry is a line in a section of the help: a variable or a file, and what it is.
type Entry struct{ Name, Text string }

// AnyNumber of optional arguments: more than a command line can have.
const AnyNumber = math.MaxInt32

// Tool describes one command.
type Tool struct {
	Name       string
	Summary    string // one line
	Arguments  string // the positional arguments as the help shows them, "" for none
	Positional int    // how many are required
	Optional   int    // how many more are allowed, or AnyNumber
	// Stdin names the flags and arguments, as the help calls them, for which - means standard
	// input. For all others - is refused.
	Stdin       []string
	Description string
	Environment []Entry // variables other than the defaults of flags
	Files       []Entry
	// Examples has one command per line; a line that starts with # says what the commands
	// below it are for. The manual shows what they print: see docs/generate.
	Examples string
	SeeAlso  []string // other commands
	Flags    []urfave.Flag
	Required []string // the flags that must be given
	// Bare are the flags that may be given without a value, by name.
	Bare map[string]Bare
	// Leaves says what a run that could not do the whole job leaves behind, and how the next
	// one continues; "" if it leaves everything that existed as it was.
	Leaves string
	// Journal makes each line on standard error begin with its priority, such as <4>, when
	// standard error is the systemd journal.
	Journal bool
	// Run does the work. c has the parsed flags and arguments.
	Run func(ctx context.Context, c *urfave.Context, out *IO) error
}

// Bare is the meaning of a flag without a value. One of Values may follow it as a separate
// word.
type Bare struct {
	Means  string
	Values []string
}

// Common flags, the same on every tool that has them.
var (
	JSONFlag = &urfave.BoolFlag{Name: "json", Usage: "print the result as one JSON document, even on failure"}
	// JSONLinesFlag replaces JSONFlag where the output is a stream.
	JSONLinesFlag = &urfave.BoolFlag{Name: "json", Usage: "print JSON documents, one per line, even on failure"}
	QuietFlag     = &urfave.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors only"}
)
