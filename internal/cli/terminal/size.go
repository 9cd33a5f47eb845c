package terminal

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Size formats a number of bytes for people: exact, and from 1 KiB also rounded.
func Size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d bytes (%s)", n, humanize.IBytes(uint64(n)))
}
