// Package createanchor is the command ailee_create_anchor: a state with a new
// anchor, appended to a node's snapshot file or written to a file of its own.
package createanchor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ailee-recovery/internal/flags"
	"ailee-recovery/internal/tool"
)

// Name is the command's name.
const Name = "ailee_create_anchor"

// Options are the command's options.
type Options struct {
	StateFile   string // a path, or "-" for standard input
	DataDir     string // whose snapshot file is appended to
	Output      string // a new file instead of it, "" for none
	DryRun      bool
	Metadata    string // the anchor's
	TimestampMs uint64 // the anchor's, in Unix milliseconds
	Tapscript   bool   // print the fragment too
	flags.Checking
}

// Tool describes the command.
func Tool() tool.Tool {
	return tool.Tool{
		Name:    Name,
		Summary: "anchor a state and append it to a node's snapshot file",
		Description: `
   Computes the state root of FILE and the anchor that commits to it, appends the
   state with that anchor as one snapshot to l2_snapshots.dat in DIR, and prints
   what a Bitcoin transaction has to carry. FILE is a state in JSON, as
   ailee_extract_snapshots --format json writes it, or a snapshot file, whose
   latest snapshot is taken. The state keeps its own time; an anchor it had is
   replaced, and peg-outs keep the anchor hash they have. A node may be running.`,
		Examples: `
ailee_create_anchor --l2-state-file /tmp/current_state.json
ailee_create_anchor --dry-run --tapscript --l2-state-file /var/lib/ailee/l2_snapshots.dat
ailee_create_anchor --l2-state-file state.json --output anchored.dat --timestamp-ms 1739577600000`,
		Required: []string{"l2-state-file"},
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "l2-state-file", Usage: "anchor the state in `FILE`, a file or pipe, or - for standard input"},
			flags.DataDir("append to l2_snapshots.dat in `DIR`", "/var/lib/ailee"),
			&cli.StringFlag{Name: "output", Usage: "write the snapshot to the new file `OUT` instead"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show the anchor, write nothing"},
			&cli.StringFlag{Name: "recovery-metadata", Usage: "put `TEXT` into the anchor, such as key=value,key=value"},
			&cli.StringFlag{Name: "timestamp-ms", Usage: "give the anchor the time `N` in Unix milliseconds (default: now)"},
			&cli.BoolFlag{Name: "tapscript", Usage: "show the tapscript fragment too"},
			flags.MaxMemory(),
			tool.JSONFlag,
			tool.QuietFlag,
		},
		Run: func(ctx context.Context, c *cli.Context, io *tool.IO) error {
			o, err := options(c)
			if err != nil {
				return tool.Fail(Name+" --help shows the usage", err)
			}
			return Run(ctx, o, io)
		},
	}
}

func options(c *cli.Context) (Options, error) {
	o := Options{
		StateFile:   c.String("l2-state-file"),
		DataDir:     flags.ParseDataDir(c),
		Output:      c.String("output"),
		DryRun:      c.Bool("dry-run"),
		Metadata:    c.String("recovery-metadata"),
		TimestampMs: uint64(time.Now().UnixMilli()),
		Tapscript:   c.Bool("tapscript"),
	}
	var err error
	if o.Checking, err = flags.ParseChecking(c); err != nil {
		return o, err
	}
	if text := c.String("timestamp-ms"); c.IsSet("timestamp-ms") {
		if o.TimestampMs, err = strconv.ParseUint(text, 10, 64); err != nil {
			return o, fmt.Errorf("--timestamp-ms %q is not a time in Unix milliseconds", text)
		}
	}
	switch {
	case strings.Contains(o.Metadata, "\n"):
		return o, errors.New("--recovery-metadata holds a newline, which no node could read back")
	case c.IsSet("output") && o.Output == "":
		return o, errors.New("--output is empty")
	case o.DataDir == "" && o.Output == "":
		return o, errors.New("--data-dir is empty")
	}
	return o, nil
}
