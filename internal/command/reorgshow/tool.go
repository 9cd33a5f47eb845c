// Package reorgshow is the command ailee_reorg_show. It shows what is in the reorg database,
// record by record, even while a node is running.
package reorgshow

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/reorgdb"
)

// Name is the command's name.
const Name = "ailee_reorg_show"

// Options are the command's options.
type Options struct {
	DBPath string
	What   string // one of the constants below
	Hash   string // of the anchor to show
	// Status selects the anchors to list; nil for all.
	Status   *reorgdb.AnchorStatus
	Last     int    // how many events to list, counted from the end; -1 for all
	From, To uint64 // heights to list, both included
}

// The values of [Options.What].
const (
	Anchors  = "anchors"
	Anchor   = "anchor"
	Events   = "events"
	Blocks   = "blocks"
	Families = "families"
)

// statuses are the values of --status.
var statuses = map[string]reorgdb.AnchorStatus{
	"pending":     reorgdb.Pending,
	"confirmed":   reorgdb.Confirmed,
	"invalidated": reorgdb.InvalidatedReorg,
	"failed":      reorgdb.FailedOrphaned,
}

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:       Name,
		Summary:    "show what is in an AILEE node's reorg database",
		Arguments:  "WHAT [WHICH]",
		Positional: 1,
		Optional:   1,
		Description: `
   Prints records as a node reads them, one per line, in the order of their keys. WHAT
   is one of:

    anchors         the anchor records
    anchor HASH     the anchor record with this hash, one field per line
    events          the reorg events
    blocks FROM-TO  the block hashes at these heights, both included
    families        the column families, with the number of records in each

   A record that no node can read is named on standard error, and the exit status is 2.
   When an anchor or a range of heights was asked for and there is nothing to show, the
   exit status is 1. Records in a form that nodes read but never write are shown as
   nodes read them; ailee_reorg_verify names them. The database is only read, and a node
   may be running.

   With --json each record is a separate document on its own line, and the last line has
   the number of records and the exit status. The documents list all anchors that a reorg
   invalidated, where the table shows the first three.`,
		Files: []cli.Entry{{Name: "/var/lib/ailee/reorg_db/", Text: "the reorg database of a node"}},
		Examples: `
# Which anchors has a reorg invalidated?
ailee_reorg_show --db-path /var/lib/ailee/reorg_db anchors --status invalidated
# The last reorgs
ailee_reorg_show --db-path /var/lib/ailee/reorg_db events --last 2
# The block hashes at some heights, for a script
ailee_reorg_show --db-path /var/lib/ailee/reorg_db --json blocks 839999-840000
# What else is in it?
ailee_reorg_show --db-path /var/lib/ailee/reorg_db families`,
		SeeAlso:  []string{"ailee_reorg_verify", "ailee_resync_blocks"},
		Required: []string{"db-path"},
		Flags: []urfave.Flag{
			flags.DBPath("show the database in `DIR`"),
			&urfave.StringFlag{Name: "status", Usage: "list only anchors with `STATUS`: pending, confirmed, invalidated or failed"},
			&urfave.IntFlag{Name: "last", Usage: "list only the last `N` events", DefaultText: "all of them"},
			cli.JSONLinesFlag,
			cli.QuietFlag,
		},
		Run: cli.Parsed(parse, Run),
	}
}

func parse(c *urfave.Context) (Options, error) {
	o := Options{DBPath: flags.ParseDBPath(c), What: c.Args().Get(0), Last: -1}
	which, given := c.Args().Get(1), c.Args().Len() > 1
	switch o.What {
	case Anchor:
		if o.Hash = which; which == "" {
			return o, fmt.Errorf("missing argument: anchor needs an anchor hash")
		}
	case Blocks:
		var ok bool
		if o.From, o.To, ok = parseHeights(which); !ok {
			return o, fmt.Errorf("%q is neither a height nor a range of heights such as 840000-840010", which)
		}
	case Anchors, Events, Families:
		if given {
			return o, fmt.Errorf("too many arguments: %s takes none: %q", o.What, which)
		}
	default:
		return o, fmt.Errorf("cannot show %q: must be anchors, anchor HASH, events, blocks FROM-TO or families", o.What)
	}
	if c.IsSet("status") {
		status, ok := statuses[c.String("status")]
		switch {
		case o.What != Anchors:
			return o, fmt.Errorf("--status can only be used with anchors")
		case !ok:
			return o, fmt.Errorf("--status %q: must be pending, confirmed, invalidated or failed", c.String("status"))
		}
		o.Status = &status
	}
	if c.IsSet("last") {
		switch o.Last = c.Int("last"); {
		case o.What != Events:
			return o, fmt.Errorf("--last can only be used with events")
		case o.Last < 0 || o.Last > math.MaxInt32:
			return o, fmt.Errorf("--last %d: must be from 0 to %d", o.Last, math.MaxInt32)
		}
	}
	return o, nil
}

// parseHeights reads a height, or a range FROM-TO.
func parseHeights(text string) (from, to uint64, ok bool) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, errFrom := strconv.ParseUint(first, 10, 64)
	to, errTo := strconv.ParseUint(last, 10, 64)
	return from, to, errFrom == nil && errTo == nil && from <= to
}
