package monitor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/reorgtool"
)

// prefix is the prefix of all metric names.
const prefix = "ailee_"

// metric describes a metric.
type metric struct {
	name   string // without the prefix
	help   string
	labels []string
	total  bool // a counter; all others are gauges
}

// described are all metrics, in the order in which they are written.
var described = []metric{
	{name: "snapshot_file_bytes", help: "Size of the snapshot file."},
	{name: "snapshot_file_growth_bytes", help: "Growth of the snapshot file since the previous run."},
	{name: "reorg_db_bytes", help: "Disk space of the reorg database."},
	{name: "reorg_db_growth_bytes", help: "Growth of the reorg database since the previous run."},
	{name: "snapshot_timestamp_seconds", help: "Time of the latest snapshot."},
	{name: "snapshot_verified", help: "1 if the latest snapshot verifies."},
	{name: "torn_tail_bytes", help: "Length of an unfinished snapshot at the end of the file."},
	{name: "reorg_db_verified", help: "1 if the reorg database verifies."},
	{name: "anchors_pending", help: "Anchors without a confirmation."},
	{name: "anchors_orphaned", help: "Pending anchors that are orphaned."},
	{name: "anchors_confirmed", help: "Confirmed anchors."},
	{name: "anchors_invalidated", help: "Anchors that a reorg invalidated."},
	{name: "anchors_failed", help: "Anchors that failed."},
	{name: "snapshot_backup_timestamp_seconds", help: "Time of the newest sound backup of the snapshot file."},
	{name: "reorg_db_backup_timestamp_seconds", help: "Time of the newest sound backup of the reorg database."},
	{name: "problems", help: "Number of problems that the run reported."},
	{name: "last_run_timestamp_seconds", help: "Time of the run."},
	{name: "fact_state", labels: []string{"fact"}, help: "0 if the fact is sound, 1 if it could not be checked, 2 if it is wrong."},
	{name: "alarm", labels: []string{"alarm"}, help: "1 if the alarm fires."},
	{name: "snapshots", labels: []string{"state"}, help: "Snapshots in the file: complete ones, valid ones, and sound ones that no node sees."},
	{name: "blocks", help: "Block hashes in the reorg database."},
	{name: "tip_height", help: "Highest height with a block hash."},
	{name: "reorg_events", help: "Reorg events in the reorg database."},
	{name: "backups", labels: []string{"kind", "state"}, help: "Backups by their last verdict, and those that are held because of an open loss."},
	{name: "backup_size_bytes", labels: []string{"kind"}, help: "Size of the newest sound backup."},
	{name: "backup_anchors", help: "Anchors in the newest sound backup of the database."},
	{name: "backup_snapshots", help: "Valid snapshots in the newest sound backup of the snapshot file."},
	{name: "backup_last_run_timestamp_seconds", labels: []string{"kind"}, help: "End of the last run of ailee-backup."},
	{name: "backup_last_success_timestamp_seconds", labels: []string{"kind"}, help: "End of the last run of ailee-backup with status 0."},
	{name: "backup_last_duration_seconds", labels: []string{"kind"}, help: "Duration of the last run of ailee-backup."},
	{name: "backup_last_status", labels: []string{"kind"}, help: "Exit status of the last run of ailee-backup."},
	{name: "backup_verified_timestamp_seconds", labels: []string{"kind"}, help: "When the least recently read backup was read."},
	{name: "backup_loss_open", labels: []string{"kind"}, help: "1 if the data lacks something that earlier backups have."},
	{name: "monitor_runs_total", total: true, help: "Runs of ailee-monitor."},
	{name: "backup_runs_total", labels: []string{"kind", "status"}, total: true, help: "Runs of ailee-backup by exit status."},
	{name: "free_bytes", labels: []string{"folder"}, help: "Free space for the data and for the backups."},
	{name: "needed_bytes", labels: []string{"folder"}, help: "Space that the next backup and a prune will need there."},
	{name: "monitor_duration_seconds", help: "Duration of the run."},
	{name: "build_info", labels: []string{"version", "rocksdb"}, help: "The build of ailee-monitor, and the RocksDB that it is for."},
}

// sample is a value of a metric.
type sample struct {
	labels []string // values of the labels, in the metric's order
	value  json.Number
}

// measures holds the values of metrics, by name.
type measures struct{ samples map[string][]sample }

// set adds a value. It panics if the metric is not described or has a different number of labels.
func (m *measures) set(name string, value any, labels ...string) {
	i := slices.IndexFunc(described, func(d metric) bool { return d.name == name })
	if i < 0 || len(described[i].labels) != len(labels) {
		panic("no such metric: " + name)
	}
	m.samples[name] = append(m.samples[name], sample{labels, json.Number(fmt.Sprint(value))})
}

// text returns the metrics in the text format of Prometheus, without those that have no value.
func (m *measures) text() []byte {
	var b bytes.Buffer
	for _, d := range described {
		samples := m.samples[d.name]
		if len(samples) == 0 {
			continue
		}
		kind := "gauge"
		if d.total {
			kind = "counter"
		}
		fmt.Fprintf(&b, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, d.name, d.help, prefix, d.name, kind)
		for _, s := range samples {
			fmt.Fprintf(&b, "%s%s%s %s\n", prefix, d.name, d.labelled(s.labels), s.value)
		}
	}
	return b.Bytes()
}

// escaped escapes the value of a label for the text format.
var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (d metric) labelled(values []string) string {
	var pairs []string
	for i, label := range d.labels {
		pairs = append(pairs, fmt.Sprintf(`%s="%s"`, label, escaped.Replace(values[i])))
	}
	if len(pairs) == 0 {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// document returns the metrics for JSON: each is a number, null if it has no value, or, if it
// has labels, an object with their values as keys.
func (m *measures) document() map[string]any {
	all := map[string]any{}
	for _, d := range described {
		if len(d.labels) == 0 {
			all[d.name] = nil
			for _, s := range m.samples[d.name] {
				all[d.name] = s.value
			}
			continue
		}
		byLabel := map[string]any{}
		for _, s := range m.samples[d.name] {
			at := byLabel
			for _, value := range s.labels[:len(s.labels)-1] {
				next, ok := at[value].(map[string]any)
				if !ok {
					next = map[string]any{}
					at[value] = next
				}
				at = next
			}
			at[s.labels[len(s.labels)-1]] = s.value
		}
		all[d.name] = byLabel
	}
	return all
}

// measure sets the metrics. What is not known has no value.
func (r *run) measure(took time.Duration) {
	r.metrics = &measures{map[string][]sample{}}
	m := r.metrics
	r.measureFile()
	r.measureDatabase()
	for _, f := range r.view.Facts {
		m.set("fact_state", int(f.State), string(f.Code))
	}
	for _, code := range allAlarms() {
		m.set("alarm", bit(slices.ContainsFunc(r.alarms, func(a alarm) bool { return a.code == code })), string(code))
	}
	if r.backups != nil {
		for _, kind := range backups.Kinds {
			r.measureBackups(kind)
		}
	}
	if r.view.Space != nil {
		r.measureSpace()
	}
	if r.StateFile != "" {
		m.set("monitor_runs_total", r.next.Runs)
	}
	m.set("problems", len(r.alarms)+len(r.failures))
	m.set("last_run_timestamp_seconds", r.now.Unix())
	m.set("monitor_duration_seconds", seconds(took))
	m.set("build_info", 1, cli.Release(), reorgtool.RocksDB())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func bit(set bool) int {
	if set {
		return 1
	}
	return 0
}

// allAlarms returns the codes of all alarms, sorted.
func allAlarms() []alarmCode {
	codes := make([]alarmCode, 0, len(priorities))
	for code := range priorities {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

// verified reports whether a part verifies according to these facts. This is not known if one of
// them could not be checked, unless another is wrong.
func (r *run) verified(codes ...datadir.Code) (ok, known bool) {
	known = true
	for _, code := range codes {
		switch f := r.view.Fact(code); {
		case f == nil || f.State == datadir.CouldNot:
			known = false
		case f.State == datadir.Wrong:
			return false, true
		}
	}
	return known, known
}

func (r *run) measureFile() {
	m, v := r.metrics, r.view
	if size := r.sizes.snapshotFile; size != nil {
		m.set("snapshot_file_bytes", *size)
		if before := r.before.SnapshotFileBytes; before != nil {
			m.set("snapshot_file_growth_bytes", *size-*before)
		}
	}
	if size := r.sizes.reorgDB; size != nil {
		m.set("reorg_db_bytes", *size)
		if before := r.before.ReorgDBBytes; before != nil {
			m.set("reorg_db_growth_bytes", *size-*before)
		}
	}
	if latest := v.Latest; latest != nil && latest.Complete {
		m.set("snapshot_timestamp_seconds", latest.Time.Ms/1000)
	}
	if ok, known := r.verified(datadir.SnapshotsForm, datadir.SnapshotsLatest); known {
		m.set("snapshot_verified", bit(ok))
	}
	if tail := v.Tail; tail != nil {
		length := int64(0)
		if r.wrong(datadir.SnapshotsTail) != nil {
			length = tail.Length
		}
		m.set("torn_tail_bytes", length)
	}
	if all := v.AllSnapshots; all != nil {
		m.set("snapshots", all.Complete, "complete")
		m.set("snapshots", all.Valid, "valid")
	}
	if hidden := v.Hidden; hidden != nil {
		m.set("snapshots", hidden.Count, "hidden")
	}
}

func (r *run) measureDatabase() {
	m := r.metrics
	if ok, known := r.verified(datadir.DBForm, datadir.DBDamage, datadir.DBRecords); known {
		m.set("reorg_db_verified", bit(ok))
	}
	records := r.view.Records
	if records == nil || r.wrong(datadir.DBDamage) != nil {
		return // damage hides how many records there are
	}
	for _, status := range []string{"pending", "confirmed", "invalidated", "failed"} {
		m.set("anchors_"+status, records.Anchors[status])
	}
	m.set("anchors_orphaned", records.Orphaned)
	m.set("blocks", records.Blocks)
	if records.Blocks > 0 {
		m.set("tip_height", records.Tip)
	}
	m.set("reorg_events", records.Events)
}

func (r *run) measureBackups(kind backups.Kind) {
	m, s, label := r.metrics, r.backups, string(kind)
	if newest := s.newestSound(kind, r.now); newest != nil {
		name := "snapshot_backup_timestamp_seconds"
		if kind == backups.Database {
			name = "reorg_db_backup_timestamp_seconds"
		}
		m.set(name, newest.Made.Unix())
		m.set("backup_size_bytes", newest.Size, label)
		r.measureContent(newest)
	}
	sound, wrong, unread, held := s.count(kind)
	m.set("backups", sound, label, "sound")
	m.set("backups", wrong, label, "wrong")
	m.set("backups", unread, label, "unread")
	m.set("backups", held, label, "held")
	oldest := time.Time{}
	for _, e := range s.ofKind(kind) {
		if !e.last.At.IsZero() && (oldest.IsZero() || e.last.At.Before(oldest)) {
			oldest = e.last.At
		}
	}
	if !oldest.IsZero() {
		m.set("backup_verified_timestamp_seconds", oldest.Unix(), label)
	}
	if s.dir.Rebuilt != "" {
		return // nothing is known of the runs
	}
	if last := s.dir.Catalogue.Runs[kind]; last != nil {
		m.set("backup_last_run_timestamp_seconds", last.End.Unix(), label)
		if last.LastSuccess != nil {
			m.set("backup_last_success_timestamp_seconds", last.LastSuccess.Unix(), label)
		}
		m.set("backup_last_duration_seconds", seconds(last.End.Sub(last.Start)), label)
		m.set("backup_last_status", last.Status, label)
		for _, status := range sortedKeys(last.Total) {
			m.set("backup_runs_total", last.Total[status], label, status)
		}
	}
	m.set("backup_loss_open", bit(slices.ContainsFunc(s.dir.Catalogue.OpenLosses(kind), func(l *backups.Loss) bool { return l.CouldNot == "" })), label)
}

// measureContent sets what the newest sound backup of a kind holds, as this run has read it, or
// else by the catalogue.
func (r *run) measureContent(newest *entry) {
	m := r.metrics
	if n := r.view.NewestBackups; n != nil {
		if s := n.Snapshots; s != nil && newest.Kind == backups.Snapshots && r.backups.dir.PathOf(newest.Name) == s.Path {
			m.set("backup_snapshots", s.Snapshots)
			return
		}
		if s := n.Database; s != nil && newest.Kind == backups.Database && r.backups.dir.PathOf(newest.Name) == s.Path {
			m.set("backup_anchors", s.Anchors)
			return
		}
	}
	if newest.Snapshots != nil {
		m.set("backup_snapshots", newest.Snapshots.Valid)
	}
	if newest.Database != nil {
		m.set("backup_anchors", newest.Database.AnchorCount())
	}
}

// measureSpace sets the free and the needed space, for the data and for the backups.
func (r *run) measureSpace() {
	for _, folder := range []struct{ label, path string }{{"data", r.view.Place.Path}, {"backups", r.backupFolder()}} {
		var st unix.Stat_t
		if unix.Stat(folder.path, &st) != nil {
			continue
		}
		for _, f := range r.view.Space.FileSystems {
			if f.Device == uint64(st.Dev) {
				r.metrics.set("free_bytes", f.Free, folder.label)
				r.metrics.set("needed_bytes", f.Needed, folder.label)
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
