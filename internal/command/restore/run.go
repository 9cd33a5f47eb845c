package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// restoring is one run.
type restoring struct {
	Options
	out    *cli.IO
	now    time.Time
	stamp  string // now, as names have it
	memory *snapshot.Memory

	all     []*target // both parts, the snapshot file first
	parts   []*target // those that are to be restored
	place   *datadir.Place
	backups *backups.Dir
	folders []*os.File // locked folders
	locks   []*os.File // locked LOCK files of databases

	refusals  []refusal
	remarks   []refusal // problems of parts that stay as they are
	aside     []setAside
	completed *journal // journal of an earlier run that this one completes
	changed   bool     // something was replaced
}

// Run restores. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	now := out.Now().UTC()
	r := &restoring{Options: o, out: out, now: now, stamp: now.Format("20060102_150405"), memory: o.Memory()}
	for _, t := range []*target{
		{kind: backups.Snapshots, name: snapshot.FileName, named: o.SnapshotBackup},
		{kind: backups.Database, name: databaseName, named: o.DBBackup},
	} {
		r.all = append(r.all, t)
		if o.wants(t) {
			r.parts = append(r.parts, t)
		}
	}
	defer r.close()
	return r.run(ctx)
}

func (r *restoring) close() {
	for _, t := range r.all {
		t.close()
	}
	for _, f := range r.folders {
		_ = durable.Unlock(f)
	}
	for _, f := range r.locks {
		_ = releaseLock(f)
	}
}

func (r *restoring) run(ctx context.Context) error {
	view, err := r.enter(ctx)
	if err != nil {
		return err
	}
	left, err := readJournal(r.DataDir)
	if err != nil {
		return r.explain(err)
	}
	if left != nil {
		err := r.goOn(ctx, left, view)
		switch more := !r.isAllOf(left); {
		case err != nil, len(r.refusals) > 0, !more:
			return r.report(err)
		case r.DryRun:
			return r.report(exit.Failf("complete it first: "+r.command(), "an earlier restore was killed: nothing else can be checked until it is completed"))
		}
		if view, err = r.startAgain(ctx); err != nil {
			return err
		}
	}
	if err := r.decideAll(ctx, view); err != nil {
		return err
	}
	if len(r.refusals) == 0 {
		err = r.replaceAll(ctx)
	}
	return r.report(err)
}

// enter checks the data directory, becomes its owner, and locks the folders. It checks first:
// the user who started the command may see more than the owner.
func (r *restoring) enter(ctx context.Context) (*datadir.View, error) {
	if err := r.openSources(false); err != nil {
		return nil, err
	}
	view, err := r.view(ctx, datadir.DataDir, datadir.DataMount, datadir.DataHolders)
	if err != nil {
		return nil, err
	}
	if f := view.Fact(datadir.DataDir); f.State == datadir.Wrong {
		return nil, exit.Failf("name the data directory of the node with --data-dir", "%s", f.Text) // the data directory is missing, or is not a directory
	} else if f.State == datadir.CouldNot {
		return nil, exit.Fail(durable.Hint(f.Err), f.Err)
	}
	r.place, r.BackupDir = view.Place, r.backupDir()
	if err := durable.BecomeUserOf(&r.DataDir, &r.BackupDir, &r.all[0].named, &r.all[1].named); err != nil {
		return nil, r.explain(err)
	}
	if err := r.openSources(true); err != nil {
		return nil, err
	}
	for _, t := range r.all {
		broken, err := t.resolve(r.DataDir)
		if err != nil {
			return nil, r.explain(err)
		}
		if broken && slices.Contains(r.parts, t) {
			r.refuse(t, exit.Failed, "mount the disk that it leads to, or remove the link", "%s is a dangling link to %s", t.name, t.path)
		}
		// A link may lead to the folder of yet another user.
		folder := t.folder()
		if err := durable.BecomeUserOf(&folder); err != nil {
			return nil, r.explain(err)
		}
	}
	return view, r.lockFolders()
}

// openSources opens the named sources. As the user who started the command it opens those
// whose path no other user can redirect, and the others as the owner of the data directory.
func (r *restoring) openSources(became bool) error {
	for _, t := range r.parts {
		if t.named == "" || t.file != nil || t.folderSource {
			continue
		}
		if !became && os.Geteuid() == 0 && t.ledByOthers() {
			continue
		}
		if err := t.openNamed(); err != nil {
			return err
		}
	}
	return nil
}

// lockFolders locks out other restores and backups until this run ends.
func (r *restoring) lockFolders() error {
	var data os.FileInfo
	for _, dir := range []string{r.DataDir, r.BackupDir} {
		f, err := os.Open(dir)
		if err != nil {
			if dir == r.BackupDir && data != nil {
				continue // reported later, if the folder is needed
			}
			return r.explain(err)
		}
		r.folders = append(r.folders, f)
		info, err := f.Stat()
		if err != nil {
			return r.explain(err)
		}
		if data != nil && os.SameFile(data, info) {
			continue
		}
		data = info
		if err := durable.Lock(f); errors.Is(err, durable.ErrBusy) {
			return exit.Failf("wait until it is done", "another ailee-backup or ailee-restore is at work in %s", durable.Shown(dir))
		} else if err != nil {
			return r.explain(err)
		}
	}
	return nil
}

// explain adds an exit code and a hint to an error.
func (r *restoring) explain(err error) error {
	var known *exit.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return exit.Fail(durable.Hint(err), err)
}

// decideAll checks each part, finds its source and decides. Afterwards either the replacements
// are ready, or there are refusals.
func (r *restoring) decideAll(ctx context.Context, view *datadir.View) error {
	if v := view.Holders; v != nil && v.Removed {
		r.askHolders(view) // do not compare data that is changing
		return nil
	}
	for _, t := range r.parts {
		bar := r.progress(t, "reading "+t.name)
		err := t.look(ctx, lookOptions{
			snapshots: content.SnapshotsOptions{Now: r.now, Memory: r.memory, Progress: bar.Add},
			database:  content.DatabaseOptions{Now: r.now},
		})
		bar.Done()
		if err != nil {
			return err
		}
	}
	if err := r.readBackups(ctx); err != nil {
		return err
	}
	// These parts will be replaced whatever the source is: no need to read it first.
	var certain []*target
	for _, t := range r.parts {
		if t.state == nothing || r.Force {
			certain = append(certain, t)
		}
	}
	if len(certain) > 0 {
		r.ask(certain, view)
		r.askSpace(certain)
	}
	if len(r.refusals) > 0 {
		return nil
	}
	for _, t := range r.parts {
		if err := r.decideOne(ctx, t, view); err != nil {
			return err
		}
	}
	return r.withoutSource()
}

// progress shows on a terminal how many bytes of a snapshot file were read. The total is not
// known.
func (r *restoring) progress(t *target, what string) terminal.Bar {
	return terminal.BytesBar(r.out.Err, !r.out.Quiet() && !t.isDatabase(), what, -1)
}

// ask makes the cheap checks for what can be in the way of replacing the parts.
func (r *restoring) ask(parts []*target, view *datadir.View) {
	r.askHolders(view)
	for _, t := range parts {
		r.askPlaces(t, view)
		r.askName(t)
	}
}

func (r *restoring) decideOne(ctx context.Context, t *target, view *datadir.View) error {
	if t.decision == refused {
		return nil
	}
	// A sound part is replaced only from a named source.
	if t.named != "" || r.Force || t.state != sound {
		if err := t.clearStage(); err != nil {
			r.refuse(t, exit.Failed, durable.Hint(err), "the replacement of %s cannot be prepared: %w", t.name, err)
			return nil
		}
	}
	if err := r.findSource(ctx, t); err != nil {
		return err
	}
	if t.decision == refused || t.source == nil {
		return nil
	}
	if t.state != nothing && t.unread == nil {
		if err := t.compare(ctx); err != nil {
			return r.explain(err)
		}
	}
	t.decision, t.code = decide(t.standing(), t.named != "", r.Force)
	switch t.decision {
	case refused:
		r.refuseFor(t)
	case leftAlone:
		r.remarkOn(t)
	case replaced:
		if t.unread != nil {
			r.out.Warn("%s could not be checked, and is replaced anyway because of --force: %v", t.name, t.unread)
		}
		r.ask([]*target{t}, view)
		if len(r.refusals) == 0 {
			r.makeReady(t)
		}
	}
	return nil
}

// makeReady completes the replacement in the stage.
func (r *restoring) makeReady(t *target) {
	if err := r.complete(t); err != nil {
		r.refuse(t, exit.Failed, durable.Hint(err), "the replacement of %s cannot be prepared: %w", t.name, err)
	}
}

// replaceAll replaces the parts that are ready, the database first.
func (r *restoring) replaceAll(ctx context.Context) error {
	j := &journal{Version: 1, Time: r.stamp}
	for _, t := range []*target{r.all[1], r.all[0]} {
		if t.decision == replaced {
			j.Moves = append(j.Moves, t.move(r))
		}
	}
	if len(j.Moves) == 0 {
		return nil
	}
	if err := r.lastLook(ctx, j); err != nil || len(r.refusals) > 0 || r.DryRun {
		return err
	}
	r.sayBeforehand()
	if err := ctx.Err(); err != nil {
		return err
	}
	// From here on the stages must stay: there may be a journal that names them.
	for _, t := range r.parts {
		t.inJournal = true
	}
	if err := j.write(r.DataDir); err != nil {
		gone := removeJournal(r.DataDir)
		for _, t := range r.parts {
			t.inJournal = gone != nil
		}
		return r.explain(errors.Join(err, gone))
	}
	// From here on nothing is interrupted or undone.
	return r.forward(j)
}

// lastLook checks once more who has the data open, and that it is still the data that was
// checked.
func (r *restoring) lastLook(ctx context.Context, j *journal) error {
	view, err := r.view(ctx, datadir.DataHolders)
	if err != nil {
		return err
	}
	if view.Holders != nil {
		view.Holders.Hidden = nil // the user who started the command saw them, or they were refused
		r.askHolders(view)
	}
	// A node that starts now takes the database first, whatever is to be replaced.
	r.askLock(r.all[1].path)
	for i := range j.Moves {
		m := &j.Moves[i]
		at, err := m.look()
		if err != nil {
			return r.explain(err)
		}
		if step := m.next(at); step != swapping && step != placing {
			return exit.Failf("run it again", "%s was replaced or moved meanwhile", m.Name)
		}
	}
	return nil
}

// move describes how the part is replaced.
func (t *target) move(r *restoring) move {
	stage, _ := inode(t.stagePath())
	m := move{Part: t.kind, Name: t.base(), Stage: stage, Live: t.inode, From: r.sourceName(t), folder: t.folder()}
	m.kept = keptName(m.Name, r.stamp)
	return m
}

// sayBeforehand warns of a folder that cannot be exchanged in one step.
func (r *restoring) sayBeforehand() {
	for _, t := range r.parts {
		if t.decision == replaced && t.noExchange && t.inode != 0 {
			r.out.Warn("the file system of %s cannot exchange two folders in one step: for a moment there will be no %s", durable.Shown(t.folder()), t.name)
		}
	}
}

// forward does what the journal says, and then cleans up.
func (r *restoring) forward(j *journal) error {
	for i := range j.Moves {
		if err := j.Moves[i].forward(); err != nil {
			return r.halfway(&j.Moves[i], err)
		}
		r.changed = true
		for _, t := range r.parts {
			t.exchanged = t.exchanged || t.kind == j.Moves[i].Part && t.decision == replaced
		}
	}
	if err := r.setAsideAll(j); err != nil {
		return err
	}
	if err := removeJournal(r.DataDir); err != nil {
		return exit.Fail("everything is replaced; run it again to remove it", fmt.Errorf("%s cannot be removed: %w", journalName, err))
	}
	return nil
}

// halfway returns the error for an exchange that could not be completed.
func (r *restoring) halfway(m *move, err error) error {
	var known *exit.Error
	if errors.As(err, &known) {
		return err
	}
	hint := "the next run completes what this one began: " + r.command()
	if more := durable.Hint(err); more != "" {
		hint = more + "; " + hint
	}
	return exit.Fail(hint, fmt.Errorf("%s cannot be replaced: %w", m.Name, err))
}
