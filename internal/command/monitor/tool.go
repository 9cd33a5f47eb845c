// Package monitor is the command ailee-monitor: facts of a data directory and its backups
// held against limits, as alarms and as metrics.
package monitor

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
)

// Name is the command's name.
const Name = "ailee-monitor"

// Options are the command's options.
type Options struct {
	DataDir    string
	BackupDir  string // "": backups in the data directory
	Unit       string
	StateFile  string // "" for none
	Prometheus string // file for metrics, "" for none
	Limits
	Bitcoin *bitcoin.Options // nil: Bitcoin is not asked
	flags.Checking
}

// Limits are what a value may be at most. Those that may be off are nil then.
type Limits struct {
	SnapshotSize, DBSize                int64 // MB of 1024 KB
	Growth                              *int64
	SnapshotAge, BackupAge, LeftoverAge int64 // hours
	Pending                             *int64
	Orphaned                            int64
}

// StateName is the file with what was seen last, in the data directory.
const StateName = ".ailee-monitor"

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "watch the data and the backups of an AILEE node",
		Description: `
   Looks at the data directory of a node and at its backups: whether all of it verifies,
   at sizes and growth, at the age of the latest snapshot and of the newest backups, at
   anchors, space, owners and at what runs that were killed left. It reads the newest
   backup of each kind, and one of the others in turn. Counts of snapshots, anchors and
   reorg events are held against the highest that it has seen. The node may be running;
   its data is only read.

   Made for cron and for systemd: it prints nothing when all is well, else a line for
   each thing and what to do about it, at each run for as long as it lasts. It ends with
   status 2 for an alarm, and with 1 where it could not look. In the journal the lines
   have priorities. Sizes are in MB of 1024 KB.

   What it has seen is forgotten, and begun anew, where its state file is missing or
   damaged, or is that of another data directory.`,
		Environment: flags.BitcoinEnvironment(),
		Files: slices.Concat([]cli.Entry{
			{Name: StateName, Text: "in the data directory: what was seen last"},
			{Name: "/usr/share/doc/ailee-recovery/monitoring/", Text: "rules for Prometheus and a dashboard for Grafana, on what --prometheus writes"},
		}, flags.BitcoinFiles()),
		Examples: `
# From cron, or from a timer every ten minutes
ailee-monitor
# Metrics for node_exporter as well
ailee-monitor --max-pending 20 --prometheus /var/lib/prometheus/node-exporter/ailee.prom
grep '^ailee_snapshot' /var/lib/prometheus/node-exporter/ailee.prom`,
		SeeAlso: []string{"ailee-doctor", "ailee-backup", "ailee_l2_verify", "ailee_reorg_verify"},
		Journal: true,
		Leaves:  "metrics and state file are whole, of this run or of one before",
		Flags: append([]urfave.Flag{
			flags.DataDir("watch the data in `DIR`", flags.DefaultDataDir),
			flags.BackupDir("watch the backups in `DIR`"),
			limit("max-snapshot-size", "warn when the snapshot file is larger, in `MB`", 5000),
			limit("max-db-size", "warn when the reorg database is larger, in `MB`", 1000),
			off("max-growth", "warn when either grew by more since the last run, in `MB`", "any growth"),
			limit("max-snapshot-age", "warn when the latest snapshot is older, in `HOURS`", 24),
			limit("max-backup-age", "warn when the newest sound backup of either is older, in `HOURS`", 3),
			off("max-pending", "warn when more anchors are pending than `N`", "any number"),
			limit("max-orphaned", "warn when more of the pending anchors are orphaned than `N`", 0),
			limit("max-leftover-age", "warn when what a killed run left is older, in `HOURS`", 1),
			&urfave.StringFlag{Name: "unit", Usage: "the node is the service `UNIT` of systemd", Value: defaultUnit},
			&urfave.StringFlag{Name: stateFile, Usage: "remember what was seen in `FILE`, '' for nowhere", DefaultText: StateName + " in the data directory"},
			&urfave.StringFlag{Name: "prometheus", Usage: "write metrics to `FILE` for the textfile collector of node_exporter"},
			maxMemory(),
			cli.JSONFlag,
			&urfave.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors and alarms only"},
		}, flags.OptionalBitcoinRPC()...),
		Run: cli.Parsed(parse, Run),
	}
}

const (
	defaultUnit = "ailee-node"
	stateFile   = "state-file"
)

// maxMemory is the flag of that name; with less for sorting than others have, all of the
// process stays below 64 MiB.
func maxMemory() urfave.Flag {
	f := flags.MaxMemory().(*urfave.StringFlag)
	f.Value = "24 MiB"
	return f
}

func limit(name, usage string, value int64) urfave.Flag {
	return &urfave.Int64Flag{Name: name, Usage: usage, Value: value, Base: 10}
}

// off is a limit that is off unless it is given.
func off(name, usage, def string) urfave.Flag {
	return &urfave.Int64Flag{Name: name, Usage: usage, DefaultText: def, Base: 10}
}

// maxLimit is far above all that is limited.
const maxLimit = 1e15 - 1

func parse(c *urfave.Context) (o Options, err error) {
	o = Options{DataDir: flags.ParseDataDir(c), BackupDir: flags.ParseBackupDir(c), Prometheus: c.String("prometheus"),
		Unit: strings.TrimSuffix(c.String("unit"), ".service"), StateFile: c.String(stateFile)}
	switch {
	case o.DataDir == "":
		return o, errors.New("--data-dir is empty")
	case o.Unit == "":
		return o, errors.New("--unit is empty")
	}
	for _, l := range []struct {
		name string
		to   *int64
		off  **int64
	}{
		{"max-snapshot-size", &o.SnapshotSize, nil}, {"max-db-size", &o.DBSize, nil}, {"max-growth", new(int64), &o.Growth},
		{"max-snapshot-age", &o.SnapshotAge, nil}, {"max-backup-age", &o.BackupAge, nil}, {"max-leftover-age", &o.LeftoverAge, nil},
		{"max-pending", new(int64), &o.Pending}, {"max-orphaned", &o.Orphaned, nil},
	} {
		if *l.to = c.Int64(l.name); *l.to < 0 || *l.to > maxLimit {
			return o, fmt.Errorf("--%s %d is out of range: it may be 0 to %d", l.name, *l.to, int64(maxLimit))
		}
		if l.off != nil && c.IsSet(l.name) {
			*l.off = l.to
		}
	}
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return o, err
	}
	if o.BackupDir != "" {
		if o.BackupDir, err = filepath.Abs(o.BackupDir); err != nil {
			return o, err
		}
	}
	if !c.IsSet(stateFile) {
		o.StateFile = filepath.Join(o.DataDir, StateName)
	}
	rpc, given, err := flags.ParseBitcoinRPC(c)
	if given {
		o.Bitcoin = &rpc
	}
	if err == nil {
		o.Checking, err = flags.ParseChecking(c)
	}
	return o, err
}
