package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/prunenote"
	"ailee-recovery/snapshot"
)

// codes are the facts that are watched.
var codes = []datadir.Code{
	datadir.DataDir, datadir.DataOwner, datadir.DataSpace, datadir.DataHolders, datadir.DataLeftovers, datadir.DataBroadcast, datadir.DataClock,
	datadir.SnapshotsForm, datadir.SnapshotsLatest, datadir.SnapshotsAll, datadir.SnapshotsTail, datadir.SnapshotsHidden, datadir.SnapshotsPegOuts, datadir.SnapshotsNames,
	datadir.DBForm, datadir.DBDamage, datadir.DBRecords, datadir.DBHeights, datadir.AgreeLatest,
	datadir.BackupsFolder, datadir.BackupsNewest, datadir.BackupsOlder, datadir.BackupsNames,
	datadir.BitcoinNode,
}

// run is one run of the command.
type run struct {
	Options
	out    *cli.IO
	now    time.Time // UTC, whole seconds
	memory *snapshot.Memory

	view    *datadir.View
	dir     string  // the data directory, links followed
	backups *survey // nil if the folder could not be read
	notes   []prunenote.Note
	before  *state // what earlier runs have seen
	begun   string // why there is nothing from earlier runs, "" if there is
	next    *state // for the next run

	sizes    sizes
	alarms   []alarm
	failures []failure
	warnings []failure // not alarms: they do not change the exit status
	metrics  *measures
}

// failure is something that could not be done or checked.
type failure struct{ text, hint string }

// sizes are the sizes of the parts, nil if not known.
type sizes struct{ snapshotFile, reorgDB *int64 }

// gcPercent is the garbage collection target: the command has plenty of time but little memory.
const gcPercent = 20

// Run checks the data once and reports what is wrong. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	began := time.Now()
	debug.SetGCPercent(gcPercent)
	r := &run{Options: o, out: out, now: out.Now().UTC().Truncate(time.Second), memory: o.Memory()}
	if err := r.look(ctx); err != nil {
		return err
	}
	r.evaluate()
	r.measure(time.Since(began))
	r.keep()
	r.say()
	switch code := r.code(); code {
	case exit.OK:
		return nil
	default:
		return &exit.Error{Code: code}
	}
}

// look checks everything that is watched. An error is that of the context, or of the options.
func (r *run) look(ctx context.Context) (err error) {
	var client *bitcoin.Client
	if r.Bitcoin != nil {
		if client, err = bitcoin.Open(*r.Bitcoin, r.out.Warn); err != nil {
			return err
		}
	}
	reading := &terminal.Reading{W: r.out.Err, Show: !r.out.Quiet()}
	defer reading.Done()
	r.view, err = datadir.Look(ctx, datadir.Options{DataDir: r.DataDir, BackupDir: r.BackupDir, Codes: codes, Unit: r.Unit, Bitcoin: client, Memory: r.memory, Now: r.out.Now,
		Progress: reading.Progress})
	if err != nil {
		return err
	}
	r.dir = r.DataDir
	if r.view.Place != nil {
		r.dir = r.view.Place.Path
	}
	r.readBefore()
	if place := r.view.Place; place != nil {
		if r.notes, err = prunenote.Read(place.Snapshots); err != nil {
			r.couldNot("the notes on prunes of l2_snapshots.dat", err)
		}
		r.measureSizes(place)
	}
	r.backups = r.survey()
	return r.readOne(ctx)
}

// readBefore reads the state file.
func (r *run) readBefore() {
	var err error
	r.before, err = readState(r.StateFile, r.dir)
	switch {
	case err == nil:
	case errors.Is(err, errNoState):
		r.begun = err.Error()
	case errors.Is(err, errDamaged), errors.Is(err, errOtherDir), errors.Is(err, durable.ErrNotRegular):
		r.begun = err.Error()
		r.warnings = append(r.warnings, failure{fmt.Sprintf("%s is started over: %s: growth and lost counts are noticed from now on", r.StateFile, withoutPath(err)), ""})
	default:
		r.begun = err.Error()
		r.warnings = append(r.warnings, failure{fmt.Sprintf("%s cannot be read: %s: growth and lost counts are not watched", r.StateFile, withoutPath(err)), durable.Hint(err)})
	}
}

// withoutPath returns the text of an error without its path, which the message already names.
func withoutPath(err error) string {
	var failed *fs.PathError
	if errors.As(err, &failed) && err == error(failed) {
		return failed.Err.Error()
	}
	return err.Error()
}

// measureSizes measures the sizes of the parts.
func (r *run) measureSizes(place *datadir.Place) {
	if f := r.view.SnapshotForm; f != nil && f.Form != datadir.MissingForm && f.Form != datadir.OtherForm {
		r.sizes.snapshotFile = &f.Size
	}
	if info, err := os.Stat(place.Database); err != nil || !info.IsDir() {
		return
	}
	if size, err := diskUsage(place.Database); err == nil {
		r.sizes.reorgDB = &size
	}
}

// diskUsage returns the disk space that a folder takes, as du counts it. While a node is running,
// files come and go.
func diskUsage(folder string) (size int64, err error) {
	counted := map[datadir.ID]bool{}
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil && !counted[idOf(info)] {
				counted[idOf(info)] = true
				size += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return size, err
}

// keep saves the state, and writes the metrics.
func (r *run) keep() {
	if r.StateFile != "" && r.view.Place != nil {
		if err := r.next.save(r.StateFile); err != nil {
			// A user who may only read can still watch everything else.
			r.warnings = append(r.warnings, failure{
				fmt.Sprintf("%s cannot be written: %s: growth and lost counts are not watched; name another file with --state-file, or '' for none", r.StateFile, withoutPath(err)), ""})
		}
	}
	if r.Prometheus != "" {
		if err := writeWhole(r.Prometheus, 0o644, r.metrics.text()); err != nil {
			r.failures = append(r.failures, failure{fmt.Sprintf("%s cannot be written: %s", r.Prometheus, withoutPath(err)), durable.Hint(err)})
		}
	}
}

// code returns the exit code.
func (r *run) code() int {
	switch {
	case len(r.alarms) > 0:
		return exit.Wrong
	case len(r.failures) > 0:
		return exit.Failed
	}
	return exit.OK
}

// say prints all results, which is nothing if all is well.
func (r *run) say() {
	if r.begun == errNoState.Error() && terminal.Is(r.out.Out) {
		r.out.Printf("The first run with %s: growth and lost counts are noticed from now on\n", terminal.Text(r.StateFile))
	}
	for _, w := range r.warnings {
		r.out.Warn("%s", w.text)
		r.hint(w.hint)
	}
	for _, a := range r.alarms {
		r.out.Alarm(a.priority(), "%s", a.text)
		r.hint(a.hint)
	}
	for _, f := range r.failures {
		r.out.Error("%s", f.text)
		r.hint(f.hint)
	}
	if r.out.JSON() {
		r.out.Document(r.document())
	}
}

func (r *run) hint(text string) {
	if text != "" {
		r.out.Hint("%s", text)
	}
}

// command returns a command line, with the folders of this run unless they are the defaults.
func (r *run) command(name string, args ...string) string {
	words := append([]string{name}, args...)
	if r.DataDir != flags.DefaultDataDir {
		words = append(words, "--data-dir", r.DataDir)
	}
	if r.BackupDir != "" && r.BackupDir != filepath.Join(r.DataDir, "backups") {
		words = append(words, "--backup-dir", r.BackupDir)
	}
	return exit.Command(words...)
}

// doctor returns the command line that says what to do.
func (r *run) doctor() string {
	if r.Unit == defaultUnit {
		return r.command("ailee-doctor")
	}
	return r.command("ailee-doctor", "--unit", r.Unit)
}

// backupFolder returns the backup directory.
func (r *run) backupFolder() string {
	if r.BackupDir != "" {
		return r.BackupDir
	}
	return filepath.Join(r.DataDir, "backups")
}
