package restore

import (
	"errors"
	"fmt"
	"io/fs"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/swap"
)

// setAside is a file that a killed prune of the replaced file left, and the name that it gets:
// the next prune would take it for a part of the new file.
type setAside struct{ from, to string }

// leftovers returns the paths that killed prunes of a snapshot file left.
func leftovers(file string) ([]string, error) {
	left, err := swap.Left(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return left, err
}

// setAsideAll renames what killed prunes left, if the snapshot file was replaced. It does no
// harm to call it again.
func (r *restoring) setAsideAll(j *journal) error {
	for i := range j.Moves {
		m := &j.Moves[i]
		if m.Part != backups.Snapshots {
			continue
		}
		left, err := leftovers(m.path(m.Name))
		if err != nil {
			return r.explain(err)
		}
		for _, from := range left {
			to, err := freeName(from, m.path(m.Name+".unfinished_"+j.Time))
			if err != nil {
				return exit.Fail(durable.Hint(err), fmt.Errorf("a file that an earlier prune left cannot be renamed: %w", err))
			}
			r.aside = append(r.aside, setAside{from, to})
			r.out.Warn("an earlier prune of %s was killed: what it left is set aside as %s", m.Name, durable.Shown(to))
		}
		if len(left) > 0 {
			if err := durable.SyncDir(m.folder); err != nil {
				return r.explain(err)
			}
		}
	}
	return nil
}

// freeName renames a file to the first free name, and returns that name.
func freeName(from, to string) (string, error) {
	for {
		err := durable.RenameNew(from, to)
		if !errors.Is(err, fs.ErrExist) {
			return to, err
		}
		to += "_"
	}
}

// wouldSetAside prints what setAsideAll would do.
func (r *restoring) wouldSetAside(t *target) {
	left, _ := leftovers(t.path)
	for _, from := range left {
		r.aside = append(r.aside, setAside{from: from})
		r.out.Printf("Would set aside %s, which a killed prune left\n", terminal.Text(durable.Shown(from)))
	}
}
