package flags

import (
	"errors"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
)

// repeated has the values of a flag that may be given several times. The library's own
// string slices would split a value at its commas.
type repeated []string

func (r *repeated) Set(value string) error {
	if value == "" {
		return errors.New("it is empty")
	}
	*r = append(*r, value)
	return nil
}

// Values returns the values in the order given.
func (r *repeated) Values() []string { return *r }

func (r *repeated) String() string { return strings.Join(*r, " ") }

// Repeated is a flag that may be given several times, with a value that is not empty.
func Repeated(name, usage string) urfave.Flag {
	return &urfave.GenericFlag{Name: name, Usage: usage, Value: &repeated{}}
}

// ParseRepeated reads the values in the order given.
func ParseRepeated(c *urfave.Context, name string) []string {
	return c.Generic(name).(cli.Repeated).Values()
}
