// Package progress shows how far a long job is, on a terminal only.
package progress

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"ailee-recovery/internal/printable"
)

// Bar is a progress bar; the zero Bar shows nothing. Safe for concurrent use.
type Bar struct{ bar *progressbar.ProgressBar }

// Start shows a bar for total bytes on w, if that is a terminal and show is set.
func Start(w io.Writer, show bool, what string, total int64) Bar {
	if !show || !printable.IsTerminal(w) {
		return Bar{}
	}
	return Bar{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// Add moves the bar by n bytes.
func (b Bar) Add(n int64) {
	if b.bar != nil {
		_ = b.bar.Add64(n)
	}
}

// Done removes the bar.
func (b Bar) Done() {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
