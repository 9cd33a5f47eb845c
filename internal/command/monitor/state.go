package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/ijson"
)

// state is what was seen, as the state file carries it from one run to the next.
type state struct {
	Version int       `json:"version"` // 1
	DataDir string    `json:"data_dir"`
	At      time.Time `json:"at"`   // of the last run, UTC
	Runs    int64     `json:"runs"` // how many there have been

	SnapshotFileBytes *int64 `json:"snapshot_file_bytes,omitempty"`
	ReorgDBBytes      *int64 `json:"reorg_db_bytes,omitempty"`

	// Most holds the highest counts seen since something last explained a decrease: a prune
	// that left a note (Prune), or a loss that was accepted (Accepted).
	Most     map[thing]most          `json:"most"`
	Prune    string                  `json:"prune,omitempty"`
	Accepted map[backups.Kind]string `json:"accepted,omitempty"`

	// Next is the backup that is read in turn at the next run.
	Next    string          `json:"next,omitempty"`
	Backups map[string]seen `json:"backups"` // by name
}

// thing is a type of thing that is counted.
type thing string

// The things.
const (
	snapshots thing = "snapshots"
	anchors   thing = "anchors"
	events    thing = "events"
)

// most is a count, and when it was last seen.
type most struct {
	Count int64     `json:"count"`
	At    time.Time `json:"at"`
}

// seen is the result of reading a backup. It counts as long as the file is the same.
type seen struct {
	Inode   ijson.Number  `json:"inode"`
	Size    int64         `json:"size"`
	MTime   time.Time     `json:"mtime"`
	At      time.Time     `json:"at"`
	Verdict backups.State `json:"verdict"`
	Why     string        `json:"why,omitempty"`
}

const stateVersion = 1

// maxState is the largest state file that is read, in bytes.
const maxState = 16 << 20

func newState(dataDir string) *state {
	return &state{Version: stateVersion, DataDir: dataDir, Most: map[thing]most{}, Accepted: map[backups.Kind]string{}, Backups: map[string]seen{}}
}

// The reasons to start over.
var (
	errNoState  = errors.New("there is none")
	errDamaged  = errors.New("it is damaged")
	errOtherDir = errors.New("it belongs to another data directory")
)

// readState reads what earlier runs have seen. The state is never nil. The error says why it
// starts over: errNoState if there was no file.
func readState(path, dataDir string) (*state, error) {
	s := newState(dataDir)
	if path == "" {
		return s, nil
	}
	f, err := durable.OpenNoFollow(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, errNoState
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, s); err != nil || s.Version != stateVersion || s.Runs < 1 {
		return newState(dataDir), errDamaged
	}
	if s.DataDir != dataDir {
		return newState(dataDir), fmt.Errorf("%w, %s", errOtherDir, s.DataDir)
	}
	// These are null in the file.
	if s.Most == nil {
		s.Most = map[thing]most{}
	}
	if s.Accepted == nil {
		s.Accepted = map[backups.Kind]string{}
	}
	if s.Backups == nil {
		s.Backups = map[string]seen{}
	}
	return s, nil
}

// save writes the state file, entirely or not at all.
func (s *state) save(path string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(path, 0o600, append(text, '\n'))
}

// writeWhole replaces a file, entirely or not at all, and syncs it. Root does this as the owner
// of the folder.
func writeWhole(path string, mode fs.FileMode, text []byte) error {
	return durable.AsUserOf(path, func(path string) error {
		f, err := durable.Create(path, mode)
		if err != nil {
			return err
		}
		defer f.Abort()
		if _, err := f.Write(text); err != nil {
			return err
		}
		return f.Commit(true)
	})
}
