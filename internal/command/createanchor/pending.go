package createanchor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/btcsuite/btcd/wire/v2"

	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// pending is a broadcast that has begun, in a file beside the reorg database until
// it is done: with it, a run after a crash goes on with the same anchor and the same
// transaction. Whoever has the database's lock may use it.
type pending struct {
	Anchor         *snapshot.Anchor `json:"anchor"`
	Wallet         string           `json:"wallet"`
	RawTransaction string           `json:"raw_transaction"` // hex, signed

	path    string
	tx      *wire.MsgTx
	resumed bool // an earlier run has written it
}

// pendingFile is where the pending broadcast of a database is, whatever link led to
// the database.
func pendingFile(db string) string {
	if real, err := filepath.EvalSymlinks(db); err == nil {
		db = real
	}
	return filepath.Join(filepath.Dir(db), "."+filepath.Base(db)+".anchor-pending")
}

// readPending returns the pending broadcast of a database, nil for none.
func readPending(dbPath string) (*pending, error) {
	path := pendingFile(dbPath)
	f, err := durable.OpenRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var text []byte
	if err == nil {
		defer f.Close()
		text, err = io.ReadAll(f)
	}
	if err != nil {
		return nil, exit.Fail(durable.Hint(err), err)
	}
	p := &pending{path: path, resumed: true}
	if err = json.Unmarshal(text, p); err == nil {
		p.tx, err = wallet.Decode(p.RawTransaction)
	}
	if err == nil && (p.Anchor == nil || *p.Anchor != *snapshot.NewAnchor(p.Anchor.L2StateRoot, p.Anchor.TimestampMs, p.Anchor.RecoveryMetadata)) {
		err = errors.New("no anchor that is bound to its payload")
	}
	if err != nil {
		return nil, exit.Fail("find out which PENDING record it belongs to before you move the file away: "+
			exit.Command("ailee_reorg_show", "--db-path", dbPath, "anchors", "--status", "pending"),
			fmt.Errorf("%s: %w", path, err))
	}
	return p, nil
}

// write makes the file durable before anything else is done.
func (p *pending) write() error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := durable.Create(p.path, 0o640)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	return f.Commit(false)
}

func (p *pending) remove() error {
	if err := os.Remove(p.path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(p.path))
}
