package datadir

import (
	"fmt"
	"os"
	"strings"
	"time"

	"ailee-recovery/internal/printable"
)

// lookClock checks data-clock. The clock is wrong if it is more than an hour behind two
// independent times: one alone may have been written by a clock that was wrong then. Bitcoin,
// if it is asked, decides alone.
func (l *looker) lookClock() {
	c := &Clock{Now: l.now.Truncate(time.Second)}
	var beyond []string // whose times the clock is behind
	decided := false    // one of them is enough
	see := func(what string, at time.Time, witness bool) {
		switch {
		case at.IsZero():
		case at.After(l.now.Add(ahead)):
			c.Doubtful = append(c.Doubtful, Dated{what, at.UTC().Format(time.RFC3339)})
			if witness {
				beyond = append(beyond, what)
			}
		case at.After(c.Newest):
			c.Newest, c.Of = at.UTC().Truncate(time.Second), what
		}
	}
	if t := l.view.Latest; t != nil && t.Complete {
		at := time.Time{}
		if ms := t.Time.Ms; ms <= maxMs {
			at = time.UnixMilli(int64(ms))
		} else {
			c.Doubtful = append(c.Doubtful, Dated{"the latest snapshot", fmt.Sprint(ms)})
		}
		see("the latest snapshot", at, true)
	}
	if l.dir != nil {
		last := time.Time{}
		for _, runs := range l.dir.Catalogue.Runs {
			if runs != nil && runs.End.After(last) {
				last = runs.End
			}
		}
		see("the last backup", last, true)
		for _, kind := range kinds {
			if list := l.dir.Of(kind); len(list) > 0 {
				see("the backup "+list[0].Name, list[0].Made, false)
			}
		}
	}
	if info, err := os.Stat(l.view.Place.Snapshots); err == nil {
		see("the last change of the snapshot file", info.ModTime(), true)
	}
	if b := l.view.BitcoinState; b != nil && !b.TipTime.IsZero() {
		// Blocks may be two hours ahead.
		if b.TipTime.After(l.now.Add(2 * ahead)) {
			c.Doubtful = append(c.Doubtful, Dated{"the tip of Bitcoin", b.TipTime.Format(time.RFC3339)})
			beyond, decided = []string{"the tip of Bitcoin"}, true
		} else {
			beyond = nil
		}
	}
	l.view.Clock = c
	if decided || len(beyond) > 1 {
		l.wrong(DataClock, c, "the clock says %s, which is before %s", c.Now.Format(time.DateTime), strings.Join(beyond[:min(len(beyond), 2)], " and "))
		return
	}
	f := l.sound(DataClock, c, "%s", c.Now.Format(time.DateTime))
	if len(c.Doubtful) > 0 {
		f.Remark = printable.Text(fmt.Sprintf("the time of %s is in doubt: %s", c.Doubtful[0].Of, c.Doubtful[0].Time))
	}
}

// maxMs is the last millisecond of the year 9999.
const maxMs = 253402300799999
