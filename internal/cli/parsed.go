package cli

import (
	"context"
	"errors"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/exit"
)

// Parsed returns the Run of a tool whose options are parsed first. An error in them points
// to the usage, unless it has its own hint.
func Parsed[O any](parse func(*urfave.Context) (O, error), run func(context.Context, O, *IO) error) func(context.Context, *urfave.Context, *IO) error {
	return func(ctx context.Context, c *urfave.Context, out *IO) error {
		o, err := parse(c)
		if errors.As(err, new(*exit.Error)) {
			return err
		}
		if err != nil {
			return exit.Fail(usageHint(out.tool), err) // wrong flags or arguments
		}
		return run(ctx, o, out)
	}
}

// usageHint says where the usage of a tool is shown.
func usageHint(tool string) string { return tool + " --help shows the usage" }
