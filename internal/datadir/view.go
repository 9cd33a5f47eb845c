package datadir

import (
	"context"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// Options say what to check.
type Options struct {
	DataDir   string
	BackupDir string // "": backups in the data directory
	// Codes are the facts that are wanted, nil for all. The facts that they depend on are
	// established as well, and are in the view too.
	Codes []Code
	// Unit is the node's systemd unit, "" for ailee-node.service.
	Unit string
	// Bitcoin is asked for the facts that need it. If it is nil, these facts are not in the
	// view and do not count.
	Bitcoin *bitcoin.Client
	// Memory bounds the memory for checking snapshots, nil for the default.
	Memory *snapshot.Memory
	// Now is the clock, nil for the machine's.
	Now func() time.Time
	// Wait waits before something that may be temporary is checked again, nil for real time.
	Wait func(ctx context.Context, d time.Duration) error
	// Progress is called with what is being read and how much of it, in bytes. The total is 0
	// if it is not known. It may be nil.
	Progress func(what string, done, total int64)
}

// View is the result of a check.
type View struct {
	At    time.Time // when the check began, UTC
	Facts []Fact    // in the order of the codes; each once

	// The evidence of the facts, nil for facts that are not in the view or could not be checked.
	Place     *Place
	Owners    *Owners
	Mounts    *Mounts
	Space     *Space
	Holders   *Holders
	Leftovers *Leftovers
	Copies    *Copies
	Broadcast *Broadcast
	Clock     *Clock

	SnapshotForm *SnapshotForm
	Latest       *Latest
	AllSnapshots *AllSnapshots
	Tail         *Tail
	Hidden       *Hidden
	PegOuts      *PegOuts
	Names        *Names

	DatabaseForm *DatabaseForm
	Damage       *Damage
	Records      *Records
	Heights      *Heights

	AgreeLatest *Agreement
	AgreeAll    *Agreement

	BackupFolder  *BackupFolder
	NewestBackups *NewestBackups
	OlderBackups  *OlderBackups
	Cover         *Cover
	BackupNames   *BackupNames

	BitcoinState *BitcoinState
	Chain        *Chain
	Proofs       *Proofs
}

// Look checks the data. What cannot be checked is a fact: an error is that of the context.
func Look(ctx context.Context, o Options) (*View, error) { return look(ctx, o) }

// Fact returns the fact with the code, nil if it is not in the view.
func (v *View) Fact(code Code) *Fact {
	for i := range v.Facts {
		if v.Facts[i].Code == code {
			return &v.Facts[i]
		}
	}
	return nil
}

// Is reports whether the fact is in the view and has the state.
func (v *View) Is(code Code, s State) bool {
	f := v.Fact(code)
	return f != nil && f.State == s
}

// ExitCode is 2 if a fact is wrong, else 1 if one could not be checked, else 0.
func (v *View) ExitCode() int {
	code := exit.OK
	for _, f := range v.Facts {
		switch {
		case f.State == Wrong:
			return exit.Wrong
		case f.State == CouldNot:
			code = exit.Failed
		}
	}
	return code
}
