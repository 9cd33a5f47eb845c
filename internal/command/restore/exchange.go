package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// stageSuffix ends the name of the stage: the file or folder next to a part in which its
// replacement is made ready.
const stageSuffix = ".ailee-restore.tmp"

// stageName returns the name of the stage for a file or folder. Both are in one folder: a
// folder of another user can be renamed only within the folder that it is in.
func stageName(name string) string { return "." + name + stageSuffix }

// move is the replacement of one part: the stage gets the part's name, and the old data is kept
// under another. The inodes show how far it got, wherever it was interrupted.
type move struct {
	Part  backups.Kind `json:"part"`
	Name  string       `json:"name"`               // in its folder, links resolved
	Stage uint64       `json:"stage_inode,string"` // of the replacement
	Live  uint64       `json:"live_inode,string"`  // of the old data; 0: there is none
	From  string       `json:"from"`               // the source, as it is called in messages

	folder string // the folder that all names are in
	kept   string // the name that the old data gets
}

func (m *move) path(name string) string { return filepath.Join(m.folder, name) }

// names are the inodes at the three names of a move, 0 for nothing.
type names struct{ live, stage, kept uint64 }

// step is the next step of a move.
type step int

const (
	lost      step = iota // something else has one of the names
	done                  // nothing is left to do
	swapping              // exchange live and stage
	keeping               // rename the old data from the stage's name to its kept name
	placing               // the live name is free: rename the stage to it
	placeOver             // the old data has its kept name, too: rename the stage over its live name
	dropping              // the stage's name is a second name of new or old data: remove it
)

// next returns the step that the names call for.
func (m *move) next(at names) step {
	isLive, isNew := at.live == m.Live && m.Live != 0, at.live == m.Stage
	isReady := at.stage == m.Stage
	isKept := at.kept == m.Live && m.Live != 0
	switch {
	case isNew && isReady:
		return dropping
	case isNew && at.stage == 0 && (isKept || m.Live == 0):
		return done
	case isNew && m.Live != 0 && at.stage == m.Live && at.kept == 0:
		return keeping
	case isNew && m.Live != 0 && at.stage == m.Live && isKept:
		return dropping
	case isLive && isReady && at.kept == 0:
		return swapping
	case isLive && isReady && isKept:
		return placeOver
	case at.live == 0 && isReady && (isKept || m.Live == 0):
		return placing
	}
	return lost
}

// inode returns the inode at a path, 0 for none.
func inode(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && durable.Reserved(path) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

func (m *move) look() (at names, err error) {
	for _, n := range []struct {
		name  string
		inode *uint64
	}{{m.Name, &at.live}, {stageName(m.Name), &at.stage}, {m.kept, &at.kept}} {
		if *n.inode, err = inode(m.path(n.name)); err != nil {
			return at, err
		}
	}
	return at, nil
}

// forward does what is left to do of a move. If it fails, it can be called again to continue.
func (m *move) forward() error {
	live, stage, kept := m.path(m.Name), m.path(stageName(m.Name)), m.path(m.kept)
	for {
		at, err := m.look()
		if err != nil {
			return err
		}
		switch m.next(at) {
		case done:
			return durable.SyncDir(m.folder)
		case swapping:
			if err = durable.Exchange(stage, live); errors.Is(err, durable.ErrNoExchange) {
				err = m.makeWay(live, kept)
			}
		case keeping:
			err = toFree(stage, kept)
		case placing:
			err = toFree(stage, live)
		case placeOver:
			err = durable.Rename(stage, live)
		case dropping:
			err = os.Remove(stage)
		default:
			return m.lost(at)
		}
		if err == nil {
			err = durable.SyncDir(m.folder)
		}
		if err != nil {
			return err
		}
	}
}

// toFree renames to a name that is free, or that a killed run had reserved.
func toFree(from, to string) error {
	if durable.Reserved(to) {
		if err := os.Remove(to); err != nil {
			return err
		}
	}
	return durable.RenameNew(from, to)
}

// makeWay gives the old data its kept name, on a file system that cannot exchange names. A file
// gets it as a second name, so that its first is never missing. The name of a folder is missing
// for a moment.
func (m *move) makeWay(live, kept string) error {
	info, err := os.Lstat(live)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		if err = durable.Link(live, kept); !errors.Is(err, durable.ErrNoExchange) {
			return err
		}
	}
	return toFree(live, kept)
}

// lost returns the error for names that no step of this move leaves behind.
func (m *move) lost(at names) error {
	what := func(name string, inode uint64) string {
		is := "something else"
		switch inode {
		case 0:
			is = "missing"
		case m.Stage:
			is = "what was to be restored"
		case m.Live:
			is = "what was to be replaced"
		}
		return fmt.Sprintf("%s is %s", name, is)
	}
	return exit.Failf("give the right one the name "+m.Name+", move the others away, then remove "+journalName,
		"an earlier restore was killed, and its files were moved since: in %s, %s, %s and %s", m.folder,
		what(m.Name, at.live), what(stageName(m.Name), at.stage), what(m.kept, at.kept))
}
