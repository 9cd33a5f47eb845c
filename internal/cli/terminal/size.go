package terminal

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes as people read it: exact, and rounded where that is shorter
// to grasp.
func Size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d bytes (%s)", n, humanize.IBytes(uint64(n)))
}
