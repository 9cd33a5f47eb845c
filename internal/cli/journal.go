package cli

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// isJournal reports whether what is written to w goes to the systemd journal, which puts the
// device and inode of its stream in JOURNAL_STREAM. Device and inode have to be compared: a
// process whose standard error was redirected inherits the variable all the same.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat := info.Sys().(*syscall.Stat_t)
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
