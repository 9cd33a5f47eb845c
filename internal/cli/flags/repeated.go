package flags

import (
	"errors"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
)

// repeated are the values of a flag that may be given several times. The library's own
// slices of strings would take a value with a comma for two.
type repeated []string

func (r *repeated) Set(value string) error {
	if value == "" {
		return errors.New("it is empty")
	}
	*r = append(*r, value)
	return nil
}

// Values are the values in their order.
func (r *repeated) Values() []string { return *r }

func (r *repeated) String() string { return strings.Join(*r, " ") }

// Repeated is a flag that may be given several times, with a value that is not empty.
func Repeated(name, usage string) urfave.Flag {
	return &urfave.GenericFlag{Name: name, Usage: usage, Value: &repeated{}}
}

// ParseRepeated reads the values in their order.
func ParseRepeated(c *urfave.Context, name string) []string {
	return c.Generic(name).(cli.Repeated).Values()
}
