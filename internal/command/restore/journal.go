package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// journalName is the file in the data directory that says what is being exchanged. It exists
// only during the exchange.
const journalName = ".ailee-restore.json"

// maxJournal is how much of a journal is read at most, in bytes.
const maxJournal = 64 << 10

// journal says what a run exchanges. All paths are made from the data directory and the names
// of its parts, so the content of the file cannot lead anywhere else.
type journal struct {
	Version int    `json:"version"` // 1
	Time    string `json:"time"`    // of the run, as in kept names
	Moves   []move `json:"parts"`   // in the order in which they are done
}

var stampForm = regexp.MustCompile(`^\d{8}_\d{6}$`)

// keptName returns the name under which replaced data is kept.
func keptName(name, stamp string) string { return name + ".replaced_" + stamp }

// write puts the journal into the data directory, synced.
func (j *journal) write(dataDir string) error {
	path := filepath.Join(dataDir, journalName)
	text, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	f, err := durable.Create(path, 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	return f.Commit(false)
}

// removeJournal removes the journal when everything is done, or when nothing was begun.
func removeJournal(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, durable.SyncDir(dataDir))
}

// readJournal reads the journal that a killed run left, nil for none. It accepts only a file of
// this user or of the owner of the data directory.
func readJournal(dataDir string) (*journal, error) {
	path := filepath.Join(dataDir, journalName)
	f, err := durable.OpenNoFollow(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, durable.ErrNotRegular):
		return nil, planted(path)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	if err := checkJournal(f, dataDir); err != nil {
		return nil, err
	}
	d := json.NewDecoder(io.LimitReader(f, maxJournal))
	d.DisallowUnknownFields()
	var j journal
	if err := d.Decode(&j); err != nil {
		return nil, exit.Fail("see what it is; if no restore was killed, remove it", fmt.Errorf("%s cannot be read: %w", path, err))
	}
	if !j.valid() {
		return nil, planted(path)
	}
	return &j, nil
}

// planted returns the error for a journal that no run of this tool wrote.
func planted(path string) error {
	return exit.Failf("find out who put it there, and remove it", "%s was not left by a restore", path)
}

// checkJournal refuses a file that another user may have put there or can write to.
func checkJournal(f *os.File, dataDir string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	folder, err := os.Stat(dataDir)
	if err != nil {
		return err
	}
	stat, of := info.Sys().(*syscall.Stat_t), folder.Sys().(*syscall.Stat_t)
	if stat.Nlink != 1 || info.Mode().Perm()&0o022 != 0 || int(stat.Uid) != os.Geteuid() && stat.Uid != of.Uid {
		return planted(f.Name())
	}
	return nil
}

// valid reports whether this tool can have written the journal, and completes its moves.
func (j *journal) valid() bool {
	if j.Version != 1 || !stampForm.MatchString(j.Time) || len(j.Moves) == 0 || len(j.Moves) > 2 {
		return false
	}
	seen := map[backups.Kind]bool{}
	for i := range j.Moves {
		m := &j.Moves[i]
		if m.Part != backups.Snapshots && m.Part != backups.Database || seen[m.Part] || m.Stage == 0 ||
			m.Name == "" || m.Name == "." || m.Name == ".." || filepath.Base(m.Name) != m.Name {
			return false
		}
		seen[m.Part] = true
		m.kept = keptName(m.Name, j.Time)
	}
	return true
}
