package restore

import (
	"context"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// goOn completes what an earlier run left, with the source that it had chosen.
func (r *restoring) goOn(ctx context.Context, j *journal, view *datadir.View) error {
	if err := r.locate(j); err != nil {
		return err
	}
	r.out.Warn("an earlier restore, %s, was killed: completing it", j.Time)
	r.askHolders(view)
	for i := range j.Moves {
		m := &j.Moves[i]
		at, err := m.look()
		if err != nil {
			return r.explain(err)
		}
		if m.next(at) == lost {
			return m.lost(at)
		}
		if m.Part != backups.Database || len(r.refusals) > 0 {
			continue
		}
		for _, name := range []string{m.Name, stageName(m.Name)} {
			r.askLock(m.path(name))
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.completed = j
	if len(r.refusals) > 0 || r.DryRun {
		return nil
	}
	return r.forward(j)
}

// startAgain prepares a run of its own after another one was completed, and returns a new view.
func (r *restoring) startAgain(ctx context.Context) (*datadir.View, error) {
	for _, f := range r.locks {
		if err := releaseLock(f); err != nil {
			return nil, err
		}
	}
	r.locks, r.completed, r.changed = nil, nil, false
	return r.view(ctx, datadir.DataMount, datadir.DataHolders)
}

// locate finds the files and folders of a journal. Where they are depends on the data directory,
// not on the journal.
func (r *restoring) locate(j *journal) error {
	for i := range j.Moves {
		m := &j.Moves[i]
		for _, t := range r.all {
			if t.kind != m.Part {
				continue
			}
			if t.base() != m.Name {
				return exit.Failf("let it lead there again", "an earlier restore of %s was killed, and %s is now %s",
					terminal.Text(m.Name), t.name, terminal.Text(durable.Shown(t.path)))
			}
			m.folder = t.folder()
		}
	}
	return nil
}

// isAllOf reports whether this run has nothing to do except what the earlier run was to do.
func (r *restoring) isAllOf(j *journal) bool {
	for _, t := range r.parts {
		if t.named == "" {
			continue
		}
		known := false
		for _, m := range j.Moves {
			known = known || m.Part == t.kind && m.From == r.sourceName(t)
		}
		if !known {
			return false
		}
	}
	return true
}
