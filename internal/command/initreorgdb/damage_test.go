package initreorgdb_test

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/golden"
	"ailee-recovery/reorgdb"
)

// damage is one way to damage a file.
type damage struct {
	name  string
	apply func(data []byte) []byte // nil to remove the file
}

func damages(size int, flips int, rng *rand.Rand) []damage {
	cut := func(n int) damage {
		return damage{fmt.Sprintf("cut at %d", n), func(data []byte) []byte { return data[:n] }}
	}
	all := []damage{{"deleted", nil}}
	if size == 0 {
		return all
	}
	all = append(all, damage{"emptied", func([]byte) []byte { return []byte{} }})
	for _, n := range []int{size / 3, size / 2, size - 1, size - min(size, 60)} {
		all = append(all, cut(n))
	}
	for range flips {
		at, bit := rng.Intn(size), byte(1)<<rng.Intn(8)
		all = append(all, damage{fmt.Sprintf("bit %d of byte %d flipped", bit, at), func(data []byte) []byte {
			data[at] ^= bit
			return data
		}})
	}
	return all
}

// TestDamage damages every file of every golden database in every way. The tools do not
// crash and lose nothing silently: when anything is missing from a copy, its exit status is
// 2, and a database that verifies has all its records.
func TestDamage(t *testing.T) {
	clitest.SkipUnderRace(t) // internal/rocksfile damages more with the race detector
	flips := 3
	switch {
	case clitest.Hostile():
		flips = 120
	case testing.Short():
		flips = 1
	}
	// This tests reading: thousands of disk syncs would only slow it down.
	clitest.InMemory(t)
	cases := 0
	for _, name := range append([]string{"killed-at-start-6.11.4", "killed-while-creating-7.8.3"}, golden.Databases...) {
		whole := golden.Database(t, name)
		want := reorgtest.Records(t, whole)
		verdict, _, _ := clitest.Run(reorgverify.Tool(), "--db-path", whole)
		files, err := os.ReadDir(whole)
		require.NoError(t, err)
		for _, file := range files {
			data, err := os.ReadFile(filepath.Join(whole, file.Name()))
			require.NoError(t, err)
			rng := rand.New(rand.NewSource(1))
			for _, d := range damages(len(data), flips, rng) {
				cases++
				if testing.Short() && cases%2 > 0 {
					continue
				}
				t.Run(name+"/"+file.Name()+"/"+d.name, func(t *testing.T) {
					path := golden.Database(t, name)
					damaged := filepath.Join(path, file.Name())
					if d.apply == nil {
						require.NoError(t, os.Remove(damaged))
					} else {
						require.NoError(t, os.WriteFile(damaged, d.apply(append([]byte{}, data...)), 0o644))
					}
					checkDamaged(t, path, want, verdict, undetectable(file.Name(), d.name))
				})
			}
		}
	}
	t.Logf("%d cases", cases)
}

// undetectable reports whether this is the one damage that leaves no trace: nothing says how
// long a log was, so an emptied log reads like one that never had a record.
func undetectable(file, damage string) bool {
	return strings.HasSuffix(file, ".log") && damage == "emptied"
}

func checkDamaged(t *testing.T, path string, want map[string]string, verdict int, silent bool) {
	code, stdout, stderr := clitest.Run(reorgverify.Tool(), "--json", "--db-path", path)
	require.Contains(t, []int{exit.OK, exit.Failed, exit.Wrong}, code)
	if code == exit.OK && !silent {
		require.Equal(t, want, reorgtest.Records(t, path), "%s%s", stdout, stderr)
	}
	if code == exit.OK {
		require.Equal(t, exit.OK, verdict)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	code, stdout, stderr = clitest.Run(initreorgdb.Tool(), "--json", "--path", copied, "--copy-from", path)
	if code == exit.Failed {
		require.NoDirExists(t, copied)
		require.NotEmpty(t, stderr)
		return
	}
	got := reorgtest.Records(t, copied)
	missing := 0
	for key, value := range want {
		if there, ok := got[key]; !ok {
			missing++
		} else if there != value && key != "default/"+reorgdb.CounterKey {
			require.Equal(t, value, there, "a wrong value for %s", key)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			require.Fail(t, "a record that the database never had", key)
		}
	}
	if missing > 0 && !silent {
		require.Equal(t, exit.Wrong, code, "%d records lost silently: %s%s", missing, stdout, stderr)
	}
}
