package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
)

// alarmCode names an alarm. Codes are stable: they are labels of metrics and keys of documents.
type alarmCode string

// The alarms.
const (
	snapshotInvalid alarmCode = "snapshot-invalid"
	snapshotTorn    alarmCode = "snapshot-torn"
	snapshotHidden  alarmCode = "snapshot-hidden"
	snapshotOld     alarmCode = "snapshot-old"
	snapshotFuture  alarmCode = "snapshot-future"
	snapshotSize    alarmCode = "snapshot-size"
	dbSize          alarmCode = "db-size"
	growth          alarmCode = "growth"
	shrunk          alarmCode = "shrunk"
	dbWrong         alarmCode = "db-wrong"
	agreement       alarmCode = "agreement"
	anchorsPending  alarmCode = "anchors-pending"
	anchorsOrphaned alarmCode = "anchors-orphaned"
	twoWriters      alarmCode = "two-writers"
	leftover        alarmCode = "leftover"
	backupNone      alarmCode = "backup-none"
	backupOld       alarmCode = "backup-old"
	backupWrong     alarmCode = "backup-wrong"
	backupFailed    alarmCode = "backup-failed"
	backupLoss      alarmCode = "backup-loss"
	backupFuture    alarmCode = "backup-future"
	backupShared    alarmCode = "backup-shared"
	disk            alarmCode = "disk"
	owner           alarmCode = "owner"
)

// The priorities are those of syslog.
const (
	critical = 3 // err
	warning  = 4
)

// priorities are the priorities of all alarms.
var priorities = map[alarmCode]int{
	snapshotInvalid: critical, snapshotTorn: critical, snapshotHidden: critical, snapshotOld: warning, snapshotFuture: warning,
	snapshotSize: warning, dbSize: warning, growth: warning, shrunk: critical, dbWrong: critical, agreement: warning,
	anchorsPending: warning, anchorsOrphaned: warning, twoWriters: critical, leftover: warning,
	backupNone: critical, backupOld: critical, backupWrong: critical, backupFailed: warning, backupLoss: critical, backupFuture: warning, backupShared: warning,
	disk: warning, owner: critical,
}

// alarm is an alarm that fires.
type alarm struct {
	code       alarmCode
	text, hint string
}

func (a alarm) priority() int { return priorities[a.code] }

func (r *run) alarm(code alarmCode, hint, format string, args ...any) {
	r.alarms = append(r.alarms, alarm{code, fmt.Sprintf(format, args...), hint})
}

// evaluate compares what was seen with the limits.
func (r *run) evaluate() {
	r.sayUnseen()
	if r.view.Place != nil {
		r.snapshotFile()
		r.database()
		r.machine()
	}
	r.watchBackups()
	r.watchSizes()
	r.compareWithBefore()
}

// wrong returns the fact if it is wrong, else nil.
func (r *run) wrong(code datadir.Code) *datadir.Fact {
	if f := r.view.Fact(code); f != nil && f.State == datadir.Wrong {
		return f
	}
	return nil
}

func (r *run) file() string         { return r.view.Place.Snapshots }
func (r *run) databasePath() string { return r.view.Place.Database }

// snapshotFile watches l2_snapshots.dat.
func (r *run) snapshotFile() {
	file := r.file()
	switch form, latest := r.wrong(datadir.SnapshotsForm), r.wrong(datadir.SnapshotsLatest); {
	case form != nil && (r.view.SnapshotForm == nil || r.view.SnapshotForm.Form == datadir.MissingForm || r.view.SnapshotForm.Form == datadir.OtherForm):
		r.alarm(snapshotInvalid, r.doctor(), "%s", form.Text) // l2_snapshots.dat is missing, or is not a file
	case form != nil:
		r.alarm(snapshotInvalid, r.doctor(), "%s does not verify: %s", file, form.Text)
	case latest != nil && r.view.Latest != nil && r.view.Latest.Complete:
		r.alarm(snapshotInvalid, r.doctor(), "%s does not verify: %s, at byte %d", file, r.view.Latest.Verdict, r.view.Latest.Offset)
	case latest != nil:
		r.alarm(snapshotInvalid, r.doctor(), "%s does not verify: %s", file, latest.Text)
	}
	if r.wrong(datadir.SnapshotsTail) != nil {
		at := r.view.Tail.Offset
		if r.view.Tail.Length == 0 {
			at = r.view.SnapshotForm.Size
		}
		r.alarm(snapshotTorn, exit.Command("ailee_prune_snapshots", "--in-place", "--keep", "all", "--file", file),
			"%s ends in an unfinished snapshot or line, at byte %d: what is appended next would be damaged", file, at)
	}
	if f := r.wrong(datadir.SnapshotsHidden); f != nil {
		r.alarm(snapshotHidden, r.doctor(), "%s: %s", file, f.Text) // FILE: a torn line hides snapshots from nodes
	}
	r.latestTime()
	if f := r.wrong(datadir.SnapshotsNames); f != nil {
		r.alarm(backupShared, r.doctor(), "%s", f.Text) // FILE has another name, NAME
	}
}

// latestTime watches the time of the latest snapshot, and the clock.
func (r *run) latestTime() {
	const checkClock = "check the clock: timedatectl"
	latest := r.view.Latest
	if latest != nil && latest.Complete {
		at := time.UnixMilli(int64(latest.Time.Ms))
		switch _, ok := snapshottool.UTC(latest.Time.Ms); {
		case !ok:
			r.alarm(snapshotFuture, checkClock, "the latest snapshot in %s has a time beyond any clock: %d ms", r.file(), latest.Time.Ms)
			return
		case latest.Time.Doubt:
			r.alarm(snapshotFuture, checkClock, "the latest snapshot in %s is dated in the future: %s UTC", r.file(), snapshottool.ShortTime(latest.Time.Ms))
			return
		case r.now.Sub(at) > time.Duration(r.SnapshotAge)*time.Hour && r.SnapshotAge <= maxHours:
			r.alarm(snapshotOld, "check that the node is still anchoring: "+exit.Command("journalctl", "-u", r.Unit),
				"the latest snapshot in %s is %s", r.file(), old(r.now.Sub(at), r.SnapshotAge))
		}
	}
	if f := r.wrong(datadir.DataClock); f != nil {
		r.alarm(snapshotFuture, checkClock, "%s", f.Text) // the clock of this machine is wrong
	}
}

// maxHours is the longest limit that a [time.Duration] can hold. No time is that long ago.
const maxHours = 2_500_000

// old says how old something is that is older than a limit in hours.
func old(age time.Duration, limit int64) string {
	hours, minutes := int64(age/time.Hour), int64(age%time.Hour/time.Minute)
	switch {
	case hours > limit:
		return fmt.Sprintf("%d h old, limit %d h", hours, limit)
	case minutes > 0:
		return fmt.Sprintf("%d h %d min old, limit %d h", hours, minutes, limit)
	}
	return fmt.Sprintf("%d h %d s old, limit %d h", hours, age%time.Minute/time.Second, limit)
}

// database watches reorg_db, and whether it agrees with the snapshot file.
func (r *run) database() {
	path := r.databasePath()
	for _, code := range []datadir.Code{datadir.DBForm, datadir.DBDamage, datadir.DBRecords, datadir.DBHeights} {
		f := r.wrong(code)
		if f == nil || code == datadir.DBDamage && r.wrong(datadir.DBForm) != nil {
			continue
		}
		text := f.Text
		if !strings.Contains(text, path) {
			text = path + " does not verify: " + text
		}
		r.alarm(dbWrong, r.doctor(), "%s", text) // reorg_db does not verify
	}
	if f := r.wrong(datadir.AgreeLatest); f != nil {
		r.alarm(agreement, r.doctor(), "%s", f.Text) // the record of the latest anchor does not agree with the file
	}
	records := r.view.Records
	if records == nil || r.wrong(datadir.DBDamage) != nil {
		return
	}
	show := "see which, and check that their transactions are in the mempool: " +
		exit.Command("ailee_reorg_show", "--db-path", path, "anchors", "--status", "pending")
	if pending := records.Anchors["pending"]; r.Pending != nil && pending > uint64(*r.Pending) {
		r.alarm(anchorsPending, show, "pending anchors: %d, more than %d", pending, *r.Pending)
	}
	if records.Orphaned > uint64(r.Orphaned) {
		r.alarm(anchorsOrphaned, show, "orphaned pending anchors: %d, more than %d", records.Orphaned, r.Orphaned)
	}
}

// machine watches processes, leftovers of killed runs, space and owners.
func (r *run) machine() {
	if f := r.wrong(datadir.DataHolders); f != nil {
		r.alarm(twoWriters, r.stopHint(), "%s", f.Text)
	}
	if r.wrong(datadir.DataLeftovers) != nil {
		for _, left := range r.view.Leftovers.Found {
			if left.Kind != datadir.Temporary && r.isOld(left.Made, r.LeftoverAge) {
				r.alarm(leftover, r.doctor(), "%s was killed and left %s", map[datadir.LeftoverKind]string{
					datadir.PruneLeft: "an earlier prune", datadir.PruneForeign: "an earlier prune", datadir.RestoreLeft: "an earlier restore",
				}[left.Kind], left.Path)
			}
		}
	}
	if f := r.wrong(datadir.DataBroadcast); f != nil && r.view.Broadcast != nil {
		if info, err := os.Lstat(r.view.Broadcast.Path); err == nil && r.isOld(info.ModTime(), r.LeftoverAge) {
			r.alarm(leftover, r.doctor(), "%s", f.Text) // an earlier broadcast is not finished
		}
	}
	if f := r.wrong(datadir.DataSpace); f != nil {
		r.alarm(disk, r.doctor(), "%s", f.Text) // the disk has little space left
	}
	if f := r.wrong(datadir.DataOwner); f != nil {
		r.alarm(owner, r.ownerHint(), "%s", f.Text)
	}
}

// isOld reports whether something that was made at a time is older than a limit in hours.
func (r *run) isOld(made time.Time, hours int64) bool {
	return hours <= maxHours && r.now.Sub(made) > time.Duration(hours)*time.Hour
}

// stopHint says how to stop the writer that is not the node.
func (r *run) stopHint() string {
	h := r.view.Holders
	node := h.Node()
	for i := range h.Processes {
		p := &h.Processes[i]
		if !p.Writes || node != nil && p.PID == node.PID {
			continue
		}
		if strings.HasSuffix(p.Unit, ".service") { // a process other than the node has the data open for writing, in a unit
			return "stop that process: " + exit.Command("systemctl", "stop", strings.TrimSuffix(p.Unit, ".service"))
		}
		return fmt.Sprintf("stop that process: kill %d", p.PID) // a process other than the node has the data open for writing
	}
	return r.doctor() // two processes have the data open for writing
}

// ownerHint says how to give the node access to what it cannot use.
func (r *run) ownerHint() string {
	o := r.view.Owners
	first := o.Wrong[0]
	hint := ""
	if first.ByOwner {
		hint = exit.Command("chown", o.User, first.Path)
	} else {
		hint = exit.Command("chmod", fmt.Sprintf("%04o", first.Mode), first.Path)
	}
	if o.Count > 1 || first.ByOwner && first.ByMode {
		hint += "; for everything that must be done: " + r.doctor()
	}
	return hint // the node cannot use PATH
}

// kindNames name what the kinds of backups are backups of.
var kindNames = map[backups.Kind]string{backups.Snapshots: "snapshot file", backups.Database: "database"}

// watchBackups watches the backup directory.
func (r *run) watchBackups() {
	const timer = "systemctl status ailee-backup.timer"
	backUp := r.command("ailee-backup")
	s := r.backups
	if s == nil {
		// The folder is missing. One that could not be read has been reported already.
		if f := r.wrong(datadir.BackupsFolder); f != nil {
			r.alarm(backupNone, backUp+"; "+timer, "%s for backups", f.Text)
		}
		return
	}
	if gone := s.gone(); len(gone) == 1 {
		r.alarm(backupWrong, r.command("ailee-backup", "verify", "--all"), "1 backup is missing that no run has deleted: %s", gone[0])
	} else if len(gone) > 1 {
		r.alarm(backupWrong, r.command("ailee-backup", "verify", "--all"), "%d backups are missing that no run has deleted, such as %s", len(gone), gone[0])
	}
	for _, kind := range backups.Kinds {
		newest := s.newestSound(kind, r.now)
		_, wrong, unread, _ := s.count(kind)
		switch {
		case newest != nil && r.isOld(newest.Made, r.BackupAge):
			r.alarm(backupOld, backUp+"; "+timer, "the newest backup of the %s is %s", kindNames[kind], old(r.now.Sub(newest.Made), r.BackupAge))
		case newest == nil && unread == 0:
			what := "no backup"
			if wrong > 0 || len(s.ofKind(kind)) > 0 {
				what = "no sound backup whose date is not in doubt"
			}
			r.alarm(backupNone, backUp+"; "+timer, "%s has %s of the %s", s.dir.Path, what, kindNames[kind])
		}
	}
	r.wrongBackups()
	r.backupRuns()
	if f := r.wrong(datadir.BackupsNames); f != nil {
		names := r.view.BackupNames
		switch n := len(names.Future); n {
		case 0:
		case 1:
			r.alarm(backupFuture, r.doctor(), "%s is dated in the future", names.Future[0].Path)
		default:
			r.alarm(backupFuture, r.doctor(), "%d backups are dated in the future, such as %s", n, names.Future[0].Path)
		}
		if len(names.Shared) > 0 {
			r.alarm(backupShared, r.doctor(), "%d backups, such as %s, share a single copy of the data (hard links)", len(names.Shared), names.Shared[0])
		}
	}
}

// wrongBackups reports backups that do not verify: the newest ones, which this run has read, and
// others by what was found when they were last read.
func (r *run) wrongBackups() {
	hint := r.command("ailee-backup", "verify", "--all")
	for _, kind := range backups.Kinds {
		var older []*entry
		for _, e := range r.backups.ofKind(kind) {
			switch {
			case e.last.Verdict != backups.Wrong:
			case e.newest:
				r.alarm(backupWrong, hint, "the newest backup of the %s, %s, does not verify: %s", kindNames[kind], e.Name, e.last.Why)
			default:
				older = append(older, e)
			}
		}
		switch len(older) {
		case 0:
		case 1:
			r.alarm(backupWrong, hint, "the backup %s does not verify: %s", older[0].Name, older[0].last.Why)
		default:
			r.alarm(backupWrong, hint, "%d backups of the %s do not verify, such as %s: %s", len(older), kindNames[kind], older[0].Name, older[0].last.Why)
		}
	}
	if r.wrong(datadir.BackupsOlder) != nil {
		for _, kind := range r.view.OlderBackups.LineWithout {
			r.alarm(backupWrong, hint, "no sound backup is left of an earlier state of the %s that new backups are compared with", kindNames[kind])
		}
	}
}

// backupRuns reports failed runs of ailee-backup, and open losses.
func (r *run) backupRuns() {
	c := r.backups.dir.Catalogue
	for _, kind := range backups.Kinds {
		if last := c.Runs[kind]; last != nil && last.Status != exit.OK {
			r.alarm(backupFailed, cmp.Or(last.Message, r.command("ailee-backup")), "the last run of ailee-backup, at %s UTC, ended with status %d for the %s",
				last.End.UTC().Format(time.DateTime), last.Status, kindNames[kind])
		}
		for _, l := range c.OpenLosses(kind) {
			if l.CouldNot != "" {
				r.failures = append(r.failures, failure{fmt.Sprintf("could not check what %s lacks that earlier backups have: %s", kind.Source(), l.CouldNot), r.command("ailee-backup")})
				continue
			}
			r.alarm(backupLoss, r.doctor(), "%s lacks %s that earlier backups have, since %s UTC", kind.Source(), l.Missing.String(), l.Seen.UTC().Format(time.DateTime))
		}
	}
}

// mb returns a size in MB, rounded up.
func mb(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// watchSizes compares sizes and growth with their limits.
func (r *run) watchSizes() {
	if r.view.Place == nil {
		return
	}
	for _, part := range []struct {
		path        string
		now, before *int64
		code        alarmCode
		limit       int64
		hint        string
	}{
		{r.file(), r.sizes.snapshotFile, r.before.SnapshotFileBytes, snapshotSize, r.SnapshotSize, // l2_snapshots.dat is N MB, more than N MB: consider pruning
			exit.Command("ailee_prune_snapshots", "--in-place", "--keep", "1000", "--file", r.file())},
		{r.databasePath(), r.sizes.reorgDB, r.before.ReorgDBBytes, dbSize, r.DBSize, // reorg_db is N MB, more than N MB: consider pruning
			"see what is in it: " + exit.Command("ailee_reorg_verify", "--db-path", r.databasePath())},
	} {
		if part.now == nil {
			continue
		}
		if size := mb(*part.now); size > part.limit {
			r.alarm(part.code, part.hint, "%s is %d MB, more than %d MB: consider pruning", part.path, size, part.limit)
		}
		if part.before == nil || r.Growth == nil {
			continue
		}
		if grew := mb(*part.now - *part.before); *part.now > *part.before && grew > *r.Growth {
			r.alarm(growth, "", "%s grew by %d MB since the last run, more than %d MB", part.path, grew, *r.Growth)
		}
	}
}

// sayUnseen reports what could not be checked, each reason once for each part.
func (r *run) sayUnseen() {
	said := map[string]bool{}
	for _, f := range r.view.Facts {
		if f.State != datadir.CouldNot {
			continue
		}
		part := partOf(f.Code)
		if said[part+f.Text] {
			continue
		}
		said[part+f.Text] = true
		r.couldNotLook(part, f.Err, r.hintFor(f))
	}
	if f := r.wrong(datadir.DataDir); f != nil {
		r.failures = append(r.failures, failure{f.Text, "mount its disk, or name the data directory of the node with --data-dir"}) // the data directory is missing, or is not a directory
	}
	if r.backups == nil {
		return
	}
	for _, e := range r.backups.entries {
		switch {
		case e.last.Verdict != backups.CouldNot || !r.looked(e):
		case e.err != nil:
			r.couldNot(e.Name, e.err)
		default:
			r.failures = append(r.failures, failure{fmt.Sprintf("could not check %s at %s UTC: %s", e.Name, e.last.At.UTC().Format(time.DateTime), e.last.Why),
				r.command("ailee-backup", "verify", e.Name)})
		}
	}
}

// looked reports whether a backup was last read by this command, not by ailee-backup.
func (r *run) looked(e *entry) bool { return e.now || e.last.At.After(e.Verified.At) }

// parts name what facts are about.
var parts = map[datadir.Code]string{
	datadir.DataDir: "the data directory", datadir.DataOwner: "who may use the data", datadir.DataSpace: "the space on disk",
	datadir.DataHolders: "who has the data open", datadir.DataLeftovers: "what killed runs left", datadir.DataBroadcast: "the unfinished broadcast",
	datadir.SnapshotsPegOuts: "the peg-outs of the latest snapshot", datadir.AgreeLatest: "the record of the latest anchor", datadir.BitcoinNode: "Bitcoin",
}

func partOf(code datadir.Code) string {
	if part, ok := parts[code]; ok {
		return part
	}
	switch name := string(code); {
	case strings.HasPrefix(name, "snapshots-"):
		return "l2_snapshots.dat"
	case strings.HasPrefix(name, "db-"):
		return "reorg_db"
	}
	return "the backups"
}

// hintFor says what to do about a fact that could not be checked.
func (r *run) hintFor(f datadir.Fact) string {
	switch {
	case f.Code == datadir.SnapshotsPegOuts && r.view.PegOuts != nil: // could not check the peg-outs of the latest snapshot: …
		return "this does not mean that it is damaged: " + r.doctor()
	case f.Code == datadir.DataHolders && os.Geteuid() != 0: // could not check who has the data open: …
		return "run it as the node's user, or as root"
	case f.Code == datadir.BackupsFolder && r.view.BackupFolder.NotMounted: // could not check the backups: the disk of the folder is not mounted
		return "mount its file system, see the list: findmnt --fstab"
	}
	return hintOf(f.Err)
}

// couldNot reports that something could not be checked.
func (r *run) couldNot(part string, err error) { r.couldNotLook(part, err, hintOf(err)) }

func (r *run) couldNotLook(part string, err error, hint string) {
	if errors.Is(err, unix.EMFILE) {
		var limit unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
		if r.out.Journal() {
			hint = "systemctl edit ailee-monitor, and add under [Service]: LimitNOFILE=4096"
		}
		r.failures = append(r.failures, failure{fmt.Sprintf("could not check %s: too many open files (%d)", part, limit.Cur), hint})
		return
	}
	r.failures = append(r.failures, failure{fmt.Sprintf("could not check %s: %v", part, err), hintOrAgain(hint)})
}

func hintOf(err error) string {
	var known *exit.Error
	if errors.As(err, &known) && known.Hint != "" {
		return known.Hint
	}
	return durable.Hint(err)
}

func hintOrAgain(known string) string {
	return cmp.Or(known, "run it again, if need be when more memory is free")
}
