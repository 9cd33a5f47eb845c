package datadir

import (
	"context"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// Options say what to look at.
type Options struct {
	DataDir   string
	BackupDir string // "": backups in the data directory
	// Codes are the facts that are wanted, nil for all. What they rest on is looked at as
	// well, and has its facts in the view.
	Codes []Code
	// Unit is the node's unit of systemd, "" for ailee-node.service.
	Unit string
	// Bitcoin is asked for the facts that need it, nil for not at all: they are absent
	// then, and count for nothing.
	Bitcoin *bitcoin.Client
	// Memory bounds what checking snapshots takes, nil for the default.
	Memory *snapshot.Memory
	// Now is the clock, nil for that of the machine.
	Now func() time.Time
	// Wait waits before a torn tail is looked at for the second time, nil for real time.
	Wait func(ctx context.Context, d time.Duration) error
	// Progress is told what is being read, and how much of it, nil for nobody: done and
	// total in bytes, total 0 where it is not known.
	Progress func(what string, done, total int64)
}

// View is all that was looked at.
type View struct {
	At    time.Time // when the look began, UTC
	Facts []Fact    // in the order of the codes; each once

	// The evidence of the facts, nil for those that are not there or could not be
	// looked at.
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

// Look looks. The error is only the context's, or one of the caller's options: what
// cannot be looked at is a fact.
func Look(ctx context.Context, o Options) (*View, error) { return look(ctx, o) }

// Fact returns the fact with the code, nil for one that is not in the view.
func (v *View) Fact(code Code) *Fact {
	for i := range v.Facts {
		if v.Facts[i].Code == code {
			return &v.Facts[i]
		}
	}
	return nil
}

// Is reports whether the fact is there and has the state.
func (v *View) Is(code Code, s State) bool {
	f := v.Fact(code)
	return f != nil && f.State == s
}

// ExitCode is 2 where a fact is wrong, else 1 where one could not be looked at, else 0.
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
