// Package drillchain is the command ailee_drill_chain: a Bitcoin node with a chain
// that is made up, for recovery drills where none is installed.
package drillchain

import (
	"context"
	"fmt"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
)

// Name is the command's name.
const Name = "ailee_drill_chain"

// Options are the command's options.
type Options struct {
	Listen string // host:port
	Chain  Chain
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "play a Bitcoin node for recovery drills",
		Description: `
   Serves a chain of blocks that are made up, as far as ailee_resync_blocks asks a
   Bitcoin node, and prints the URL. With --reorg-depth the last blocks are other
   ones, those of a reorg. It ends with its standard input, or when interrupted.
   Blocks and hashes are the same in every run. It is of no use but for drills.`,
		Examples: `
# A chain for a minute
sleep 60 | ailee_drill_chain --tip 150
# The same after a reorg
sleep 60 | ailee_drill_chain --tip 151 --reorg-depth 4`,
		SeeAlso:  []string{"test_recovery.sh", "ailee_resync_blocks"},
		Required: []string{"tip"},
		Flags: []urfave.Flag{
			&urfave.Int64Flag{Name: "tip", Usage: "serve the heights 0 to `HEIGHT`"},
			&urfave.Int64Flag{Name: "reorg-depth", Usage: "replace the last `N` blocks"},
			&urfave.StringFlag{Name: "listen", Usage: "listen on `ADDRESS`", Value: "127.0.0.1:0"},
			cli.JSONFlag,
			cli.QuietFlag,
		},
		Run: func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
			o := Options{Listen: c.String("listen"), Chain: Chain{Tip: c.Int64("tip"), Fork: c.Int64("tip") - c.Int64("reorg-depth") + 1}}
			if o.Chain.Tip < 0 || o.Chain.Fork < 1 || o.Chain.Fork > o.Chain.Tip+1 {
				return exit.Fail(Name+" --help shows the usage", fmt.Errorf("--reorg-depth must be between 0 and --tip"))
			}
			return Run(ctx, o, out)
		},
	}
}
