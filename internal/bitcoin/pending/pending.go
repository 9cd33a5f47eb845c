// Package pending is the file of a broadcast that has begun, beside the reorg database
// until it is done: with it, a run after a crash goes on with the same anchor and the same
// transaction.
package pending

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/durable"
	"ailee-recovery/snapshot"
)

// Broadcast is what the file has. Whoever has the database's lock may write or remove it.
type Broadcast struct {
	Anchor         *snapshot.Anchor `json:"anchor"` // bound to its payload
	Wallet         string           `json:"wallet"`
	RawTransaction string           `json:"raw_transaction"` // hex, signed

	Tx      *wire.MsgTx `json:"-"` // RawTransaction decoded
	Resumed bool        `json:"-"` // an earlier run has written it

	path string
}

// New returns one for a database, which is not written yet.
func New(db string, anchor *snapshot.Anchor, walletName string, tx *wire.MsgTx) *Broadcast {
	return &Broadcast{Anchor: anchor, Wallet: walletName, RawTransaction: wallet.Encode(tx), Tx: tx, path: File(db)}
}

// File is where the broadcast of a database is, whatever link led to the database.
func File(db string) string {
	if real, err := filepath.EvalSymlinks(db); err == nil {
		db = real
	}
	return filepath.Join(filepath.Dir(db), "."+filepath.Base(db)+".anchor-pending")
}

// MalformedError says that a file was read, and is not what [Broadcast.Write] writes.
type MalformedError struct{ Err error }

func (e *MalformedError) Error() string { return e.Err.Error() }
func (e *MalformedError) Unwrap() error { return e.Err }

// maxSize is more than any transaction that nodes relay takes in the file, in bytes.
const maxSize = 16 << 20

// Read returns what a file has. The error is a *[MalformedError], or one of opening and
// reading it; it wraps [os.ErrNotExist] where there is no such file.
func Read(path string) (*Broadcast, error) {
	f, err := durable.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return nil, err
	}
	b := &Broadcast{path: path, Resumed: true}
	if err := b.parse(text); err != nil {
		return nil, &MalformedError{err}
	}
	return b, nil
}

func (b *Broadcast) parse(text []byte) (err error) {
	if err := json.Unmarshal(text, b); err != nil {
		return err
	}
	if b.Tx, err = wallet.Decode(b.RawTransaction); err != nil {
		return fmt.Errorf("its transaction: %w", err)
	}
	if a := b.Anchor; a == nil || *a != *snapshot.NewAnchor(a.L2StateRoot, a.TimestampMs, a.RecoveryMetadata) {
		return errors.New("no anchor that is bound to its payload")
	}
	return nil
}

// Write makes the file durable before anything else is done. The error wraps
// [os.ErrExist] where there is one.
func (b *Broadcast) Write() error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	f, err := durable.Create(b.path, 0o640)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	return f.Commit(false)
}

// Remove takes the file away, when the broadcast is done, and syncs that.
func (b *Broadcast) Remove() error {
	if err := os.Remove(b.path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(b.path))
}
