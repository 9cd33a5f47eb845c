// Package pending reads and writes the file of a broadcast that has begun. It is next to the
// reorg database until the broadcast is done, so that after a crash, the next run continues
// with the same anchor and the same transaction.
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

// Broadcast is the content of the file. Only the holder of the database's lock may write or
// remove it.
type Broadcast struct {
	Anchor         *snapshot.Anchor `json:"anchor"` // bound to its payload
	Wallet         string           `json:"wallet"`
	RawTransaction string           `json:"raw_transaction"` // hex, signed

	Tx      *wire.MsgTx `json:"-"` // RawTransaction decoded
	Resumed bool        `json:"-"` // an earlier run wrote the file

	path string
}

// New returns a broadcast for a database. It is not yet written.
func New(db string, anchor *snapshot.Anchor, walletName string, tx *wire.MsgTx) *Broadcast {
	return &Broadcast{Anchor: anchor, Wallet: walletName, RawTransaction: wallet.Encode(tx), Tx: tx, path: File(db)}
}

// File returns the path of the file for a database, whatever link led to the database.
func File(db string) string {
	if real, err := filepath.EvalSymlinks(db); err == nil {
		db = real
	}
	return filepath.Join(filepath.Dir(db), "."+filepath.Base(db)+".anchor-pending")
}

// MalformedError says that a file was read, but is not one that [Broadcast.Write] wrote.
type MalformedError struct{ Err error }

func (e *MalformedError) Error() string { return e.Err.Error() }
func (e *MalformedError) Unwrap() error { return e.Err }

// maxSize is more than the file takes for any transaction that nodes relay, in bytes.
const maxSize = 16 << 20

// Read returns the content of a file. The error is a *[MalformedError], or one from opening
// and reading the file; it wraps [os.ErrNotExist] if there is no such file.
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
		return errors.New("it has no anchor that is bound to its payload")
	}
	return nil
}

// Write writes the file and makes it durable. The error wraps [os.ErrExist] if the file
// exists.
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

// Remove removes the file, once the broadcast is done, and syncs the folder.
func (b *Broadcast) Remove() error {
	if err := os.Remove(b.path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(b.path))
}
