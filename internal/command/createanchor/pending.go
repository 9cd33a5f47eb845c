package createanchor

import (
	"errors"
	"fmt"
	"io/fs"

	"ailee-recovery/internal/bitcoin/pending"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// readPending returns the pending broadcast of a database, or nil if there is none.
func readPending(dbPath string) (*pending.Broadcast, error) {
	path := pending.File(dbPath)
	p, err := pending.Read(path)
	var malformed *pending.MalformedError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.As(err, &malformed):
		return nil, exit.Fail("find out which PENDING record it belongs to before moving the file away: "+
			exit.Command("ailee_reorg_show", "--db-path", dbPath, "anchors", "--status", "pending"),
			fmt.Errorf("%s: %w", path, err))
	case err != nil:
		return nil, exit.Fail(durable.Hint(err), err)
	}
	return p, nil
}
