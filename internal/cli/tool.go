// Package cli is what every command shares: how it is run, how it speaks on its
// streams, and what its help says.
package cli

import (
	"context"
	"math"

	urfave "github.com/urfave/cli/v2"
)

// Entry is a line of a section of the help: a variable or a file, and what it is.
type Entry struct{ Name, Text string }

// AnyNumber of optional arguments is more than a command line can have.
const AnyNumber = math.MaxInt32

// Tool describes one command.
type Tool struct {
	Name       string
	Summary    string // one line
	Arguments  string // the positional arguments as help shows them, "" for none
	Positional int    // how many there are at least
	Optional   int    // how many more there may be; AnyNumber
	// Stdin are the flags and arguments, by the names that the help gives them, for which -
	// stands for standard input. For all others it stands for nothing, and is refused.
	Stdin       []string
	Description string
	Environment []Entry // variables, beside those that are defaults of flags
	Files       []Entry
	// Examples has a command a line; a line that starts with # says what the commands
	// below it are for. The manual shows what they print, see docs/generate.
	Examples string
	SeeAlso  []string // other commands
	Flags    []urfave.Flag
	Required []string // the flags that must be given
	// Bare are the flags that may stand without a value, by their names.
	Bare map[string]Bare
	// Leaves says what a run that could not do the whole job leaves, and how the next
	// one goes on; "" where it leaves everything that existed as it was.
	Leaves string
	// Journal has each line on standard error begin with its priority, such as <4>, where
	// that is the journal of systemd.
	Journal bool
	// Run does the work. c has the parsed flags and arguments.
	Run func(ctx context.Context, c *urfave.Context, out *IO) error
}

// Bare is what a flag means that stands without a value. One of Values may come after it as
// a word of its own.
type Bare struct {
	Means  string
	Values []string
}

// Common flags, the same on every tool that has them.
var (
	JSONFlag = &urfave.BoolFlag{Name: "json", Usage: "print the result as one JSON document, also on failure"}
	// JSONLinesFlag is in place of JSONFlag where what is printed is a stream.
	JSONLinesFlag = &urfave.BoolFlag{Name: "json", Usage: "print JSON documents, one a line, also on failure"}
	QuietFlag     = &urfave.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors only"}
)
