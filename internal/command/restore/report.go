package restore

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// sourceName returns the name of a source in messages: for a file in the backup folder, without
// the folder.
func (r *restoring) sourceName(t *target) string {
	path := t.named
	if t.source != nil && path == "" {
		path = t.source.Path
	}
	return r.shownSource(path)
}

func (r *restoring) shownSource(path string) string {
	if filepath.Dir(path) == filepath.Clean(r.BackupDir) {
		path = filepath.Base(path)
	}
	return terminal.Text(durable.Shown(path))
}

// sourcePath returns the path of the source for a command line.
func (r *restoring) sourcePath(t *target) string {
	if t.named != "" {
		return durable.Shown(t.named)
	}
	return durable.Shown(t.source.Path)
}

// command returns a command line of this tool for the same data, with more arguments.
func (r *restoring) command(more ...string) string {
	return exit.Command(append(append([]string{Name}, r.where()...), more...)...)
}

// doctor returns the command line that says what else is to be done.
func (r *restoring) doctor() string {
	return exit.Command(append([]string{"ailee-doctor"}, r.where()...)...)
}

// where returns the flags for a data directory and backup folder that are not the default ones.
func (r *restoring) where() (args []string) {
	dir := strings.TrimSuffix(durable.Shown(r.DataDir), "/")
	if dir != cmp.Or(os.Getenv("AILEE_DATA_DIR"), flags.DefaultDataDir) {
		args = append(args, "--data-dir", dir)
	}
	backups := durable.Shown(r.BackupDir)
	if r.BackupDir != "" && backups != cmp.Or(os.Getenv("AILEE_BACKUP_DIR"), filepath.Join(dir, "backups")) {
		args = append(args, "--backup-dir", backups)
	}
	return args
}

// again returns the command line of this run without --dry-run.
func (r *restoring) again() string {
	var args []string
	for _, flag := range []struct {
		name string
		set  bool
	}{{"--snapshot-only", r.SnapshotOnly}, {"--db-only", r.DBOnly}, {"--force", r.Force}} {
		if flag.set {
			args = append(args, flag.name)
		}
	}
	for _, t := range r.all {
		if t.named != "" {
			args = append(args, t.flag(), durable.Shown(t.named))
		}
	}
	return r.command(args...)
}

// flag returns the flag that names a source of the part.
func (t *target) flag() string {
	if t.isDatabase() {
		return "--db-backup"
	}
	return "--snapshot-backup"
}

// only returns the flag that leaves the other part as it is.
func (t *target) only() string {
	if t.isDatabase() {
		return "--db-only"
	}
	return "--snapshot-only"
}

// byForce returns the command line that restores the source whatever the live part has.
func (r *restoring) byForce(t *target) string {
	if t.named != "" {
		return r.command(t.flag(), durable.Shown(t.named), "--force")
	}
	return r.command(t.only(), "--force")
}

// report prints what was done and what was not, and returns the outcome. err, if any, is the
// error that ended the run after something was decided.
func (r *restoring) report(err error) error {
	err = r.out.Settle(err)
	r.sayPassed()
	for _, t := range r.parts {
		for _, line := range r.outcome(t) {
			r.out.Printf("%s\n", line)
		}
	}
	r.sayCompleted()
	if r.DryRun && len(r.refusals) == 0 && r.all[0].decision == replaced {
		r.wouldSetAside(r.all[0])
	}
	code := exit.Code(err)
	for _, t := range r.parts {
		code = max(code, t.code)
	}
	for _, p := range append(r.remarks, r.refusals...) {
		code = max(code, p.code)
		r.out.Error("%s", p.err)
		for _, hint := range p.hints {
			r.out.Hint("%s", hint)
		}
	}
	if r.out.JSON() {
		r.out.Document(r.document(code, err))
	}
	if err != nil {
		return withCode(err, code)
	}
	r.out.Printf("%s\n", r.last())
	if code != exit.OK {
		return &exit.Error{Code: code}
	}
	return nil
}

// withCode returns the error with another exit code.
func withCode(err error, code int) error {
	var known *exit.Error
	if errors.As(err, &known) && known.Code != code {
		return &exit.Error{Code: code, Err: known.Err, Hint: known.Hint}
	}
	return err
}

// next returns the command line to run next, "" for none.
func (r *restoring) next() string {
	ready := r.completed != nil
	for _, t := range r.parts {
		ready = ready || t.decision == replaced
	}
	switch {
	case r.changed:
		return r.doctor()
	case r.DryRun && ready && len(r.refusals) == 0:
		return r.again()
	}
	return ""
}

// last returns the last line of the report.
func (r *restoring) last() string {
	switch next := r.next(); {
	case next != "":
		return "Next: " + terminal.Text(next)
	case r.DryRun:
		return "Would replace nothing."
	case len(r.refusals) > 0:
		return "Nothing was changed."
	}
	return "Replaced nothing."
}

// sayPassed prints which backups were skipped, and which have misleading names.
func (r *restoring) sayPassed() {
	for _, t := range r.parts {
		for _, p := range t.passed {
			r.out.Printf("Skipped %s: %s\n", r.shownSource(p.Path), terminal.Text(p.Why))
		}
		for _, name := range t.future {
			r.out.Printf("%s is dated in the future: only its content counts\n", terminal.Text(name))
		}
	}
}

// sayCompleted prints what was completed of an earlier run.
func (r *restoring) sayCompleted() {
	if r.completed == nil || len(r.refusals) > 0 {
		return
	}
	for i := range r.completed.Moves {
		m := &r.completed.Moves[i]
		if r.DryRun {
			r.out.Printf("Would complete the restore of %s from %s\n", terminal.Text(m.Name), terminal.Text(m.From))
			continue
		}
		r.out.Printf("Restored %s from %s\n", terminal.Text(m.Name), terminal.Text(m.From))
		if m.Live != 0 {
			r.out.Printf("  kept as %s\n", terminal.Text(m.kept))
		}
	}
}

// outcome returns the outcome for a part, as lines.
func (r *restoring) outcome(t *target) []string {
	switch {
	case t.decision == replaced && len(r.refusals) == 0 && (r.DryRun || t.exchanged):
		return r.restoredLines(t)
	case t.decision == leftAlone && t.source != nil:
		return r.aloneLines(t)
	case t.decision == leftAlone:
		return wrap(t.name + " is sound, left alone; " + t.alone)
	}
	return nil
}

func (r *restoring) restoredLines(t *target) []string {
	verb, was, kept := "Restored", "was", "kept as "
	if r.DryRun {
		verb, was, kept = "Would restore", "is", "would be kept as "
	}
	source, live := holds(t.kind, t.source.Snapshots, t.source.Database), holds(t.kind, t.snapshots, t.database)
	has := source.String()
	if has == "" {
		has = "nothing in it"
	}
	if source.Snapshots > 0 && source.Last != nil {
		has += ", latest " + clock(*source.Last)
	}
	verbHad := map[bool]string{true: "has", false: "had"}[r.DryRun]
	switch text := live.String(); {
	case t.inode == 0:
		has += "; there " + was + " nothing"
	case t.unread != nil:
		has += "; what " + was + " there could not be read"
	case text == "":
		has += "; what " + was + " there " + verbHad + " none"
	default:
		has += "; what " + was + " there " + verbHad + " " + text
		if live.Snapshots > 0 && live.Last != nil {
			has += ", latest " + clock(*live.Last)
		}
	}
	lines := append([]string{verb + " " + t.at(t.base()) + " from " + r.sourceName(t)}, indented(has)...)
	if t.inode != 0 {
		lines = append(lines, "  "+kept+t.at(keptName(t.base(), r.stamp)))
	}
	return lines
}

// aloneLines says what a sound part has that the source lacks, and the other way round.
func (r *restoring) aloneLines(t *target) []string {
	d, source := &t.difference, r.sourceName(t)
	has, lacks := d.has.String(), d.lacks.String()
	switch {
	case lacks != "" && d.lacks.counts():
		text := t.name + " is sound, left alone, but lacks what " + source + " has: " + d.lacks.inFull()
		if has != "" {
			text += "; it has " + d.has.inFull() + " that the backup lacks"
		}
		if d.parting > 0 {
			text += fmt.Sprintf("; they diverge after snapshot %d of the backup", d.parting)
		}
		return wrap(text)
	case d.has.counts():
		than := "the newest backup"
		if t.named != "" {
			than = source
		}
		return append([]string{t.name + " is sound and newer than " + than + ":"}, indented("it has "+d.has.more()+"; left alone")...)
	}
	text := t.name + " is sound and lacks nothing, left alone"
	if lacks != "" {
		text += "; " + source + " has " + lacks + " that Bitcoin has, too"
	}
	if d.explained > 0 {
		text += "; " + counted(d.explained, "snapshot", "snapshots") + " of the backup were pruned"
	}
	return wrap(text)
}

// inFull returns the amount in words, with its times.
func (a amount) inFull() string {
	text := a.String()
	if a.Snapshots > 0 && a.First != nil && a.Last != nil {
		if a.Snapshots == 1 {
			return text + ", " + clock(*a.Last)
		}
		return text + ", " + clock(*a.First) + " to " + clock(*a.Last)
	}
	return text
}

// width is how many columns a line has.
const width = 80

// wrap breaks a sentence into lines, and indents all but the first.
func wrap(text string) []string { return broken("", text) }

// indented breaks a sentence into lines, and indents them all.
func indented(text string) []string { return broken("  ", text) }

// broken breaks a sentence into lines. The first begins with line.
func broken(line, text string) (lines []string) {
	for i, word := range strings.Split(text, " ") {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), "  "+word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// refuseFor refuses a part that has what its source lacks, or could not be compared.
func (r *restoring) refuseFor(t *target) {
	source := r.sourceName(t)
	switch {
	case t.unread != nil:
		r.refusals = append(r.refusals, refusal{exit.Failed, fmt.Errorf("%s could not be checked: %w", t.name, t.unread), compact(readHint(t, t.unread), "to replace it unchecked: "+r.byForce(t))})
	case t.state == wrong:
		r.refusals = append(r.refusals, refusal{exit.Wrong, fmt.Errorf("%s is wrong, but has what %s lacks: %s", t.name, source, t.difference.has.inFull()),
			append(r.toHaveBoth(t), "to have only the backup: "+r.byForce(t))})
	default:
		r.refusals = append(r.refusals, refusal{exit.Wrong, fmt.Errorf("%s is sound, and has what %s lacks: %s", t.name, source, t.difference.has.inFull()),
			[]string{"to give that up: " + r.byForce(t)}})
	}
}

// remarkOn says how to get what a part lacks that is left alone.
func (r *restoring) remarkOn(t *target) {
	if t.code == exit.OK {
		return
	}
	if t.difference.has.counts() {
		r.remarks = append(r.remarks, refusal{exit.Wrong, fmt.Errorf("%s and its backup each have what the other lacks", t.name), append(r.toHaveBoth(t), r.goBack(t))})
		return
	}
	r.remarks = append(r.remarks, refusal{exit.Wrong, fmt.Errorf("%s holds less than its backup", t.name), []string{"to have both: " + r.doctor(), r.goBack(t)}})
}

func (r *restoring) goBack(t *target) string { return "to go back to the backup: " + r.byForce(t) }

// toHaveBoth returns the steps that combine the live part and its source.
func (r *restoring) toHaveBoth(t *target) []string {
	dir := filepath.Join(durable.Shown(r.DataDir), "recovery_"+r.stamp)
	made, live := filepath.Join(dir, t.name), durable.Shown(filepath.Join(r.DataDir, t.name))
	join := exit.Command("ailee_recover_snapshots", r.sourcePath(t), live, made)
	if t.isDatabase() {
		join = exit.Command("ailee_init_reorg_db", "--path", made, "--copy-from", live, "--copy-from", r.sourcePath(t))
	}
	return []string{"to have both, step by step: " + r.doctor(), "which amounts to: " + join, "and then: " + r.command(t.flag(), made)}
}

// withoutSource reports the parts that have no source.
func (r *restoring) withoutSource() error {
	any := false
	for _, t := range r.parts {
		any = any || t.source != nil
	}
	for _, t := range r.parts {
		if t.source != nil || t.decision == refused {
			continue
		}
		found := r.noBackup(t)
		switch {
		case t.state != sound:
			r.refusals = append(r.refusals, found)
			t.decision, t.code = refused, found.code
		case found.code == exit.Wrong || !any:
			r.remarks = append(r.remarks, found)
			t.decision, t.code, t.alone = leftAlone, found.code, "it has no backup that verifies"
		default:
			t.decision, t.alone = leftAlone, "it has no backup"
		}
	}
	return nil
}

// noBackup says that a part has no backup, or none that verifies.
func (r *restoring) noBackup(t *target) refusal {
	dir := terminal.Text(durable.Shown(r.BackupDir))
	if len(t.passed) == 0 {
		return refusal{exit.Failed, fmt.Errorf("%s has no backup of the %s", dir, t.noun()), []string{"name the backup folder with --backup-dir"}}
	}
	return refusal{exit.Wrong, fmt.Errorf("no backup of the %s in %s verifies", t.noun(), dir), []string{"see what can be recovered: " + r.doctor()}}
}

func compact(hints ...string) (all []string) {
	for _, hint := range hints {
		if hint != "" {
			all = append(all, hint)
		}
	}
	return all
}
