package backups_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/backups"
)

func at(text string) time.Time {
	parsed, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return parsed
}

// hourly returns sound backups of one line, an hour apart.
func hourly(from, to string) (entries []backups.Backup) {
	for t := at(from); !t.After(at(to)); t = t.Add(time.Hour) {
		entries = append(entries, entry(t, uint64(len(entries)+1)))
	}
	return entries
}

func entry(made time.Time, sequence uint64) backups.Backup {
	return backups.Backup{Name: made.Format("01-02 15:04"), Kind: backups.Snapshots, Sequence: sequence, Made: made, Line: 1,
		Copy: backups.Copied, Verified: backups.Verified{Verdict: backups.Sound}}
}

var usual = backups.Retention{Keep: 24, Daily: 7, Weekly: 4}

// kept returns the names that stay, the newest first.
func kept(entries []backups.Backup, r backups.Retention, held map[uint64]bool, latest string, now time.Time) (names []string) {
	leaving := backups.Retain(entries, r, held, latest, now)
	for _, b := range slices.Backward(entries) {
		if !slices.Contains(leaving, b.Name) {
			names = append(names, b.Name)
		}
	}
	return names
}

// TestRetention: hourly at :17, now Wednesday 2026-03-18 10:17.
func TestRetention(t *testing.T) {
	want := func() (names []string) {
		for i := range 24 {
			names = append(names, at("2026-03-18 10:17").Add(-time.Duration(i)*time.Hour).Format("01-02 15:04"))
		}
		return append(names, "03-16 23:17", "03-15 23:17", "03-14 23:17", "03-13 23:17", "03-12 23:17", "03-08 23:17", "03-01 23:17")
	}()
	entries := hourly("2026-01-01 00:17", "2026-03-18 10:17")
	require.Equal(t, want, kept(entries, usual, nil, "03-18 10:17", at("2026-03-18 10:17")))
	// An hour later one backup is deleted.
	stay := slices.DeleteFunc(entries, func(b backups.Backup) bool { return !slices.Contains(want, b.Name) })
	stay = append(stay, entry(at("2026-03-18 11:17"), 5000))
	require.Equal(t, []string{"03-17 11:17"}, backups.Retain(stay, usual, nil, "03-18 11:17", at("2026-03-18 11:17")))
	// Deleting every hour has the same result as deleting once.
	var grown []backups.Backup
	for _, b := range hourly("2026-01-01 00:17", "2026-03-18 10:17") {
		grown = append(grown, b)
		leaving := backups.Retain(grown, usual, nil, b.Name, b.Made)
		grown = slices.DeleteFunc(grown, func(b backups.Backup) bool { return slices.Contains(leaving, b.Name) })
	}
	require.Equal(t, want, kept(grown, usual, nil, "", at("2026-03-18 10:17")))
	require.Len(t, grown, 31)
}

// TestRetentionRules: each rule on its own.
func TestRetentionRules(t *testing.T) {
	now := at("2026-03-18 10:17")
	few := hourly("2026-03-18 01:17", "2026-03-18 10:17")
	change := func(i int, f func(*backups.Backup)) []backups.Backup {
		all := slices.Clone(few)
		f(&all[i])
		return all
	}
	one := backups.Retention{Keep: 1}
	for name, c := range map[string]struct {
		entries []backups.Backup
		r       backups.Retention
		held    map[uint64]bool
		latest  string
		kept    []string
	}{
		"the newest":                       {few, one, nil, "", []string{"03-18 10:17"}},
		"never the last one":               {few, backups.Retention{}, nil, "", []string{"03-18 10:17"}},
		"the one that latest is a copy of": {few, one, nil, "03-18 04:17", []string{"03-18 10:17", "03-18 04:17"}},
		"the last plain copy": {func() []backups.Backup {
			all := slices.Clone(few)
			for i := 6; i < 10; i++ {
				all[i].Copy = backups.Linked
			}
			all[5].Copy = backups.Reflinked
			return all
		}(), one, nil, "", []string{"03-18 10:17", "03-18 05:17"}},
		"held":                        {change(2, func(b *backups.Backup) { b.Line = 7 }), one, map[uint64]bool{7: true}, "", []string{"03-18 10:17", "03-18 03:17"}},
		"settled":                     {change(2, func(b *backups.Backup) { b.Line = 7 }), one, map[uint64]bool{8: true}, "", []string{"03-18 10:17"}},
		"unread":                      {change(2, func(b *backups.Backup) { b.Verified.Verdict = backups.CouldNot }), one, nil, "", []string{"03-18 10:17", "03-18 03:17"}},
		"never read":                  {change(2, func(b *backups.Backup) { b.Verified.Verdict = "" }), one, nil, "", []string{"03-18 10:17", "03-18 03:17"}},
		"wrong, and newer":            {change(9, func(b *backups.Backup) { b.Verified.Verdict = backups.Wrong }), one, nil, "", []string{"03-18 10:17", "03-18 09:17"}},
		"wrong, and as old":           {change(8, func(b *backups.Backup) { b.Verified.Verdict = backups.Wrong }), backups.Retention{Keep: 2}, nil, "", []string{"03-18 10:17", "03-18 09:17", "03-18 08:17"}},
		"wrong, and older":            {change(2, func(b *backups.Backup) { b.Verified.Verdict = backups.Wrong }), one, nil, "", []string{"03-18 10:17"}},
		"wrong, and its line is open": {change(2, func(b *backups.Backup) { b.Verified.Verdict, b.Line = backups.Wrong, 7 }), one, map[uint64]bool{7: true}, "", []string{"03-18 10:17", "03-18 03:17"}},
		"dated in the future":         {change(9, func(b *backups.Backup) { b.Made, b.Name = at("2099-01-01 00:00"), "2099" }), one, nil, "", []string{"2099", "03-18 09:17"}},
		"a pause deletes nothing": {append(hourly("2025-06-01 22:17", "2025-06-02 23:17"), few[9]), backups.Retention{Keep: 1, Daily: 3, Weekly: 1}, nil, "",
			[]string{"03-18 10:17", "06-02 23:17", "06-01 23:17"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.entries {
				c.entries[i].Sequence = uint64(i + 1)
			}
			require.ElementsMatch(t, c.kept, kept(c.entries, c.r, c.held, c.latest, now))
		})
	}
}

// TestMayDelete: a run whose clock may be wrong deletes nothing.
func TestMayDelete(t *testing.T) {
	last := at("2026-03-18 10:17")
	for at, may := range map[time.Time]bool{
		last: true, last.Add(time.Hour): true, last.Add(7 * 24 * time.Hour): true, last.Add(7*24*time.Hour + time.Second): false,
		last.Add(-time.Second): false, last.AddDate(73, 0, 0): false,
	} {
		require.Equal(t, may, backups.MayDelete(last, at), at)
	}
	require.False(t, backups.MayDelete(time.Time{}, last))
}
