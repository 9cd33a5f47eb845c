package reorgtool

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"ailee-recovery/internal/durable"
	"ailee-recovery/reorgdb"
)

// Close closes a database that was open for writing. What RocksDB made meanwhile
// belongs to whoever runs the command: where that is root, the files go to the
// owner of the folder, since a node must be able to open them.
func Close(db *reorgdb.DB) error {
	err := db.Close()
	owner, ownerErr := durable.OwnerOf(db.Path())
	if ownerErr != nil || !owner.Set {
		return errors.Join(err, ownerErr)
	}
	entries, readErr := os.ReadDir(db.Path())
	err = errors.Join(err, readErr)
	for _, entry := range entries {
		info, infoErr := entry.Info()
		err = errors.Join(err, infoErr)
		if infoErr == nil && info.Sys().(*syscall.Stat_t).Uid == 0 {
			err = errors.Join(err, give(filepath.Join(db.Path(), entry.Name()), owner))
		}
	}
	return err
}

// give gives a file its owner, also after a power cut.
func give(path string, owner durable.Owner) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chown(owner.UID, owner.GID), f.Sync(), f.Close())
}
