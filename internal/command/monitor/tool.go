// Package monitor is the command ailee-monitor: it compares the facts of a data directory and
// its backups with limits, and reports alarms and metrics.
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
	Bitcoin *bitcoin.Options // nil: do not ask Bitcoin
	flags.Checking
}

// Limits are the highest allowed values. A limit that is off is nil.
type Limits struct {
	SnapshotSize, DBSize                int64 // MB of 1024 KB
	Growth                              *int64
	SnapshotAge, BackupAge, LeftoverAge int64 // hours
	Pending                             *int64
	Orphaned                            int64
}

// StateName is the name of the state file in the data directory.
const StateName = ".ailee-monitor"

// Tool describes the command.
func Tool() cli.Tool {
	return cli.Tool{
		Name:    Name,
		Summary: "watch the data and the backups of an AILEE node",
		Description: `
   Checks the data directory of a node and its backups: whether everything verifies,
   sizes and growth, the age of the latest snapshot and of the newest backups, anchors,
   space, owners, and what killed runs left. It reads the newest backup of each kind, and
   one of the others in turn. It compares the numbers of snapshots, anchors and reorg
   events with the highest that it has seen. It only reads the data, and the node may be
   running.

   It is made for cron and systemd. If all is well, it prints nothing. Else it prints a
   line for each problem and what to do about it, on every run for as long as the problem
   lasts. It ends with status 2 for an alarm, and with 1 if it could not check something.
   In the journal the lines have priorities. Sizes are in MB of 1024 KB.

   It forgets what it has seen and starts over if its state file is missing, damaged, or
   belongs to another data directory.`,
		Environment: flags.BitcoinEnvironment(),
		Files: slices.Concat([]cli.Entry{
			{Name: StateName, Text: "in the data directory: what was seen last"},
			{Name: "/usr/share/doc/ailee-recovery/monitoring/", Text: "Prometheus rules and a Grafana dashboard for the metrics of --prometheus"},
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
			off("max-pending", "warn when more than `N` anchors are pending", "any number"),
			limit("max-orphaned", "warn when more than `N` pending anchors are orphaned", 0),
			limit("max-leftover-age", "warn when what a killed run left is older, in `HOURS`", 1),
			&urfave.StringFlag{Name: "unit", Usage: "the node's systemd service is `UNIT`", Value: defaultUnit},
			&urfave.StringFlag{Name: stateFile, Usage: "remember what was seen in `FILE`, '' for no file", DefaultText: StateName + " in the data directory"},
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

// maxMemory is the flag --max-memory. Its default is lower than that of other commands, so that
// the whole process stays below 64 MiB.
func maxMemory() urfave.Flag {
	f := flags.MaxMemory().(*urfave.StringFlag)
	f.Value = "24 MiB"
	return f
}

func limit(name, usage string, value int64) urfave.Flag {
	return &urfave.Int64Flag{Name: name, Usage: usage, Value: value, Base: 10}
}

// off is the flag of a limit that is off by default.
func off(name, usage, def string) urfave.Flag {
	return &urfave.Int64Flag{Name: name, Usage: usage, DefaultText: def, Base: 10}
}

// maxLimit is far above any value that is limited.
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
