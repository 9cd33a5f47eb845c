package backups_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/backups"
)

// catalogueSeed is a catalogue with backups of both kinds, a loss and runs.
func catalogueSeed(f *testing.F) []byte {
	dir := f.TempDir()
	c := backups.NoDir(dir).Catalogue
	now := at("2026-03-18 10:17")
	number := 7
	for i, kind := range []backups.Kind{backups.Snapshots, backups.Database, backups.Snapshots} {
		b := backups.Backup{Name: backups.Name{Kind: kind, Form: backups.FormsOf(kind)[0], Time: now.Add(time.Duration(i) * time.Hour)}.String(),
			Kind: kind, Sequence: uint64(i), Made: now, MTime: now, Size: 5, SHA256: "ab", ContentSHA256: "cd", Copy: backups.Copied, Line: uint64(i + 1),
			Verified: backups.Verified{At: now, Verdict: backups.Sound}, Source: []backups.Source{{Name: "x", Inode: 5, MTime: now, CTime: now}}}
		if kind == backups.Snapshots {
			one := backups.SnapshotEntry{TimestampMs: 5, Time: &now, Root: "r", Anchor: "a", SHA256: "s"}
			b.Snapshots = &backups.SnapshotsEntry{Complete: 2, Valid: 1, First: &one, Newest: &one}
		} else {
			b.Database = &backups.DatabaseEntry{Blocks: 3, Tip: 2, Anchors: map[string]int64{"confirmed": 4}, Families: map[string]int64{"default": int64(number)}}
		}
		c.Backups = append(c.Backups, b)
	}
	c.Sequence, c.Lines = 9, 3
	c.Losses = []backups.Loss{{Seen: now, Kind: backups.Snapshots, Line: 1, Since: 3, State: backups.Open, Missing: backups.Missing{Snapshots: 1, Where: "end"}}}
	c.Record(backups.Snapshots, now, now, 0, "")
	c.Record(backups.Database, now, now, 2, "wrong")
	c.Leaving = []string{c.Backups[0].Name}
	require.NoError(f, c.Save(dir))
	data, err := os.ReadFile(filepath.Join(dir, backups.CatalogueName))
	require.NoError(f, err)
	return data
}

// FuzzCatalogue: whatever the catalogue says, it is used or made anew. One that is used is the
// same after it was written and read again, and all that is asked of it has an answer.
func FuzzCatalogue(f *testing.F) {
	seed := catalogueSeed(f)
	f.Add(seed)
	var compact map[string]any
	require.NoError(f, json.Unmarshal(seed, &compact))
	short, err := json.Marshal(compact)
	require.NoError(f, err)
	f.Add(short)
	for _, text := range []string{"", "null", "{}", `{"version":1}`, `{"version":1,"runs":{"snapshots":null}}`, `{"version":1,"backups":[{}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, backups.CatalogueName), data, 0o600))
		d, err := backups.ReadDir(t.Context(), dir)
		require.NoError(t, err)
		require.Empty(t, d.New)
		require.Empty(t, d.Catalogue.Backups, "none of their files is there")
		if d.Rebuilt != "" {
			require.Empty(t, d.Gone)
			return
		}
		c := d.Catalogue
		c.Backups = d.Gone
		now := at("2026-03-18 10:17")
		for _, kind := range backups.Kinds {
			all := c.OfKind(kind)
			newest := c.NewestSound(kind, 0)
			if i := slices.IndexFunc(all, (*backups.Backup).Sound); i >= 0 {
				require.Equal(t, all[i], newest)
			} else {
				require.Nil(t, newest)
			}
			held := c.Held(kind)
			for _, line := range c.OpenLines(kind) {
				require.True(t, held[line] || line == c.NewestLine(kind))
			}
			var entries []backups.Backup
			for _, b := range all {
				require.Equal(t, b, c.Find(b.Name))
				entries = append(entries, *b)
			}
			leaving := backups.Retain(entries, usual, held, "", now)
			if newest != nil {
				require.NotContains(t, leaving, newest.Name)
			}
		}
		for i := range c.Losses {
			require.NotEmpty(t, c.Losses[i].Missing.String())
		}
		first := c.DigestsAt()

		require.NoError(t, c.Save(dir))
		again, err := backups.ReadDir(t.Context(), dir)
		require.NoError(t, err)
		require.Empty(t, again.Rebuilt)
		again.Catalogue.Backups = again.Gone
		want, err := json.Marshal(c)
		require.NoError(t, err)
		got, err := json.Marshal(again.Catalogue)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
		require.Equal(t, first, again.Catalogue.DigestsAt())
		c.Settle(backups.Snapshots, backups.Accepted)
		require.Empty(t, c.OpenLosses(backups.Snapshots))
	})
}

// FuzzName: a name that is that of a backup is written as it was read.
func FuzzName(f *testing.F) {
	for _, kind := range backups.Kinds {
		for _, form := range backups.FormsOf(kind) {
			f.Add(backups.Name{Kind: kind, Form: form, Time: at("2026-03-18 10:17")}.String())
		}
	}
	f.Add(backups.LatestName)
	f.Fuzz(func(t *testing.T, name string) {
		if n, ok := backups.ParseName(name); ok {
			require.Equal(t, name, n.String())
			require.Contains(t, backups.FormsOf(n.Kind), n.Form)
		}
	})
}

// FuzzRetain: what leaves is what the rules say, read one by one. Each backup is five bytes.
func FuzzRetain(f *testing.F) {
	for _, r := range [][3]uint8{{24, 7, 4}, {0, 0, 0}, {1, 0, 3}, {0, 2, 0}} {
		var data []byte
		for i := range byte(40) {
			data = append(data, i*7, i, i%16, i*3, i)
		}
		f.Add(r[0], r[1], r[2], uint8(3), data)
	}
	f.Fuzz(func(t *testing.T, keep, daily, weekly, latest uint8, data []byte) {
		now := at("2026-03-18 10:17")
		var entries []backups.Backup
		for i := 0; i+5 <= min(len(data), 5*60); i += 5 {
			b := entry(now.Add(12*time.Hour).Add(-time.Duration(int(data[i])*9+int(data[i+1]))*time.Hour), uint64(data[i+2]))
			b.Name = fmt.Sprint(i / 5)
			b.Verified.Verdict = []backups.State{backups.Sound, backups.Sound, backups.Wrong, backups.CouldNot, ""}[data[i+3]%5]
			b.Copy = []string{backups.Copied, backups.Linked, backups.Reflinked, ""}[data[i+3]/5%4]
			b.Line = uint64(data[i+4] % 4)
			entries = append(entries, b)
		}
		r := backups.Retention{Keep: int(keep % 30), Daily: int(daily % 10), Weekly: int(weekly % 6)}
		held := map[uint64]bool{3: true, 0: true}
		before := slices.Clone(entries)
		leaving := backups.Retain(entries, r, held, fmt.Sprint(latest), now)
		require.Equal(t, before, entries)
		want := leavingOneByOne(entries, r, held, fmt.Sprint(latest), now)
		require.Equal(t, want, leaving)
	})
}

// leavingOneByOne asks of each backup whether a rule keeps it.
func leavingOneByOne(entries []backups.Backup, r backups.Retention, held map[uint64]bool, latest string, now time.Time) (leaving []string) {
	newer := func(i, j int) bool { // i is newer than j
		a, b := entries[i], entries[j]
		if a.Sequence != b.Sequence {
			return a.Sequence > b.Sequence
		}
		if !a.Made.Equal(b.Made) {
			return a.Made.After(b.Made)
		}
		return i < j
	}
	doubtful := func(i int) bool { return entries[i].Made.After(now.Add(time.Hour)) }
	counts := func(i int, verdict backups.State) bool {
		b := entries[i]
		return !doubtful(i) && (b.Line == 0 || !held[b.Line]) && b.Verified.Verdict == verdict
	}
	// number is how many sound ones are newer, or how many different periods they have.
	number := func(i int, of func(time.Time) string, same bool) int {
		seen := map[string]bool{}
		for j := range entries {
			if counts(j, backups.Sound) && newer(j, i) {
				seen[of(entries[j].Made.UTC())+map[bool]string{true: entries[j].Name}[same]] = true
			}
		}
		return len(seen)
	}
	none := func(time.Time) string { return "" }
	day := func(at time.Time) string { return at.Format(time.DateOnly) }
	week := func(at time.Time) string {
		year, week := at.ISOWeek()
		return fmt.Sprint(year, week)
	}
	lastOf := func(i int, period func(time.Time) string) bool {
		for j := range entries {
			if counts(j, backups.Sound) && newer(j, i) && period(entries[j].Made.UTC()) == period(entries[i].Made.UTC()) {
				return false
			}
		}
		return true
	}
	oldest := -1 // of those that the three rules keep
	kept := map[int]bool{}
	for i := range entries {
		if !counts(i, backups.Sound) {
			continue
		}
		if number(i, none, true) < r.Keep || lastOf(i, day) && number(i, day, false) < r.Daily || lastOf(i, week) && number(i, week, false) < r.Weekly {
			kept[i] = true
			if oldest < 0 || newer(oldest, i) {
				oldest = i
			}
		}
		firstCopied := entries[i].Copy == backups.Copied
		for j := range entries {
			firstCopied = firstCopied && !(counts(j, backups.Sound) && newer(j, i) && entries[j].Copy == backups.Copied)
		}
		if number(i, none, true) == 0 || firstCopied || entries[i].Name == latest {
			kept[i] = true
		}
	}
	var going []int
	for i := range entries {
		b := entries[i]
		switch {
		case counts(i, backups.Sound) && !kept[i]:
			going = append(going, i)
		case counts(i, backups.Wrong) && oldest >= 0 && b.Name != latest &&
			(b.Sequence < entries[oldest].Sequence || b.Sequence == entries[oldest].Sequence && b.Made.Before(entries[oldest].Made)):
			going = append(going, i)
		}
	}
	slices.SortFunc(going, func(i, j int) int {
		if newer(i, j) {
			return 1
		}
		return -1
	})
	for _, i := range going {
		leaving = append(leaving, entries[i].Name)
	}
	return leaving
}
