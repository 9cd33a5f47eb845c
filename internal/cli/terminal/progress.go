package terminal

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Bar is a progress bar; the zero Bar shows nothing. It is safe for concurrent use.
type Bar struct{ bar *progressbar.ProgressBar }

// BytesBar shows a bar for total bytes on w, if that is a terminal and show is set.
func BytesBar(w io.Writer, show bool, what string, total int64) Bar {
	return start(w, show, what, total, progressbar.OptionShowBytes(true))
}

// HeightsBar is [BytesBar] for total heights.
func HeightsBar(w io.Writer, show bool, what string, total int64) Bar {
	return start(w, show, what, total, progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("heights"))
}

func start(w io.Writer, show bool, what string, total int64, unit ...progressbar.Option) Bar {
	if !show || !Is(w) {
		return Bar{}
	}
	return Bar{progressbar.NewOptions64(total, append(unit,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)...)}
}

// Add moves the bar by n bytes or heights.
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
