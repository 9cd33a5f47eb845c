package backups_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/clitest"
)

// folderOf makes a folder with backups of the snapshot file, by the times in their names.
func folderOf(t *testing.T, texts map[string]string) *backups.Dir {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "l2_snapshots_"+name+".dat.bak"), []byte(text), 0o600))
	}
	d, err := backups.ReadDir(t.Context(), dir)
	require.NoError(t, err)
	return d
}

func snapshotsTo(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(clitest.Numbered(i))
	}
	return b.String()
}

// TestChoose: the content of a backup decides, not its name.
func TestChoose(t *testing.T) {
	now := time.Date(2026, time.March, 18, 10, 17, 0, 0, time.UTC)
	tampered := strings.Replace(snapshotsTo(4), " 7\n", " 8\n", 4)
	for name, c := range map[string]struct {
		texts  map[string]string
		chosen string
	}{
		"the newest":             {map[string]string{"20260318_081702": snapshotsTo(2), "20260318_091702": snapshotsTo(3)}, "20260318_091702"},
		"older by name":          {map[string]string{"20260318_081702": snapshotsTo(3), "20260318_091702": snapshotsTo(2)}, "20260318_081702"},
		"dated 2099, and older":  {map[string]string{"20990101_000000": snapshotsTo(2), "20260318_091702": snapshotsTo(3)}, "20260318_091702"},
		"dated 2099, and newer":  {map[string]string{"20990101_000000": snapshotsTo(4), "20260318_091702": snapshotsTo(3)}, "20990101_000000"},
		"the newest is wrong":    {map[string]string{"20260318_081702": snapshotsTo(3), "20260318_091702": tampered}, "20260318_081702"},
		"cut, and continued":     {map[string]string{"20260318_081702": snapshotsTo(3), "20260318_091702": clitest.Numbered(3) + clitest.Numbered(4)}, "20260318_091702"},
		"cut, and nothing since": {map[string]string{"20260318_081702": snapshotsTo(3), "20260318_091702": clitest.Numbered(3)}, "20260318_081702"},
		"none":                   {map[string]string{"20260318_081702": "", "20260318_091702": tampered}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "unpacked")
			d := folderOf(t, c.texts)
			choice, err := backups.Choose(t.Context(), d, backups.Snapshots, backups.ChooseOptions{ExamineOptions: backups.ExamineOptions{Now: now, UnpackTo: to}})
			require.NoError(t, err)
			defer func() { require.NoError(t, choice.Close()) }()
			require.Equal(t, strings.Contains(name, "2099"), len(choice.Future) == 1)
			if c.chosen == "" {
				require.Nil(t, choice.Chosen)
				require.NoFileExists(t, to)
				return
			}
			require.Equal(t, d.PathOf("l2_snapshots_"+c.chosen+".dat.bak"), choice.Chosen.Path)
			require.Equal(t, c.texts[c.chosen], clitest.Read(t, to))
			require.Len(t, choice.Passed, len(c.texts)-1)
		})
	}
}
