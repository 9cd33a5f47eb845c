package backups

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"ailee-recovery/internal/content"
)

// Retention says how many backups of each kind are kept.
type Retention struct {
	Keep   int // the newest
	Daily  int // the last of each of the newest UTC days that have one
	Weekly int // the last of each of the newest ISO weeks, Monday to Sunday in UTC, that have one
}

// maxPause is how long after the last run a run may still delete.
const maxPause = 7 * 24 * time.Hour

// MayDelete reports whether a run at now may delete anything: its clock must be neither before
// the last run nor more than seven days after it. A zero lastRun means that there was none.
func MayDelete(lastRun, now time.Time) bool {
	return !lastRun.IsZero() && !now.Before(lastRun) && now.Sub(lastRun) <= maxPause
}

// Retain returns the names of the backups of one kind that no rule keeps, the oldest first.
// entries are all backups of the kind, in any order; latest is the name of the backup that
// [LatestName] is a copy of, "" for none; now is the clock of the run. Backups of lines in held,
// backups whose date is in doubt, and backups that could not be read are kept, and do not count.
// The caller must know whether the run may delete at all, see [MayDelete], and whether it has
// read back a newer sound backup.
func Retain(entries []Backup, r Retention, held map[uint64]bool, latest string, now time.Time) (leaving []string) {
	ordered := slices.Clone(entries)
	slices.SortStableFunc(ordered, func(a, b Backup) int {
		return cmp.Or(-cmp.Compare(a.Sequence, b.Sequence), -a.Made.Compare(b.Made))
	})
	var sound, wrong []Backup
	for _, b := range ordered {
		switch {
		case content.InDoubt(b.Made, now), held[b.Line] && b.Line > 0:
		case b.Sound():
			sound = append(sound, b)
		case b.Verified.Verdict == Wrong:
			wrong = append(wrong, b)
		}
	}
	kept := map[string]bool{latest: true}
	last := -1 // index of the oldest backup that the three rules keep
	keep := func(i int) {
		kept[sound[i].Name] = true
		last = max(last, i)
	}
	for i := range min(r.Keep, len(sound)) {
		keep(i)
	}
	for i := range lastOfEach(sound, r.Daily, func(at time.Time) string { return at.Format(time.DateOnly) }) {
		keep(i)
	}
	for i := range lastOfEach(sound, r.Weekly, isoWeek) {
		keep(i)
	}
	if len(sound) > 0 {
		kept[sound[0].Name] = true
	}
	if i := slices.IndexFunc(sound, func(b Backup) bool { return b.Copy == Copied }); i >= 0 {
		kept[sound[i].Name] = true
	}
	for _, b := range sound {
		if !kept[b.Name] {
			leaving = append(leaving, b.Name)
		}
	}
	// A wrong backup stays until the rules keep nothing that old, so that it can be examined.
	for _, b := range wrong {
		if last >= 0 && b.before(&sound[last]) && b.Name != latest {
			leaving = append(leaving, b.Name)
		}
	}
	places := map[string]int{}
	for i, b := range ordered {
		places[b.Name] = i
	}
	slices.SortFunc(leaving, func(a, b string) int { return cmp.Compare(places[b], places[a]) })
	return leaving
}

// lastOfEach yields the index of the last backup of each of the newest n periods that have one.
func lastOfEach(sound []Backup, n int, period func(time.Time) string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		seen := map[string]bool{}
		for i, b := range sound {
			p := period(b.Made.UTC())
			if seen[p] {
				continue
			}
			if len(seen) == n {
				return
			}
			seen[p] = true
			if !yield(i) {
				return
			}
		}
	}
}

func isoWeek(at time.Time) string {
	year, week := at.ISOWeek()
	return fmt.Sprintf("%d-%d", year, week)
}
