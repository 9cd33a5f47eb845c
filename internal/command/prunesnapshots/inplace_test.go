package prunesnapshots_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/swap"
)

// shortWatch lets a prune in place watch for late writers only for a moment: the writers
// here open a file in less time.
const shortWatch = "--watch=20ms"

func runPrune(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Execute(context.Background(), prunesnapshots.Tool(), append([]string{prunesnapshots.Name, shortWatch}, args...), cli.Streams{Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// requireLast asserts that the file has the last count snapshots up to last, in
// order, each once.
func requireLast(t *testing.T, path string, count, last int) {
	t.Helper()
	all := clitest.Times(t, path)
	require.Len(t, all, count)
	for i, ms := range all {
		require.EqualValues(t, last-count+1+i, ms, "a snapshot is missing or out of order")
	}
	require.Len(t, clitest.Names(t, filepath.Dir(path)), 1, "something is left behind")
}

// TestInPlaceBesideAnAppender prunes over and over while another process appends
// as fast as it can. As many snapshots are kept as are appended in all, so that any
// that a swap lost, duplicated or reordered are noticed at the end.
func TestInPlaceBesideAnAppender(t *testing.T) {
	swaps := 200
	if testing.Short() {
		swaps = 20
	}
	keep := swaps * 20
	path := clitest.History(t, keep)
	next, carried := keep+1, 0
	// On a busy machine an appender may be done before the prune begins.
	for i := 0; i < swaps || carried == 0; i++ {
		// A pause between appends spreads them over the whole run.
		appending := exec.Command("appender", path, fmt.Sprint(next), "20", "1ms")
		next += 20
		before := clitest.FileSize(t, path)
		require.NoError(t, appending.Start())
		// Starting a process takes longer than pruning.
		clitest.WaitFor(t, appending, func() bool { return clitest.FileSize(t, path) > before })
		code, stdout, stderr := runPrune("--file", path, "--keep", fmt.Sprint(keep), "--in-place")
		require.Zero(t, code, "%s%s", stdout, stderr)
		if strings.Contains(stdout, "Carried over") {
			carried++
		}
		require.NoError(t, appending.Wait())
	}
	code, stderr := completes(t, path, "--keep", fmt.Sprint(keep))
	require.Zero(t, code, stderr)
	requireLast(t, path, keep, next-1)
	t.Logf("%d swaps, %d of them carried something over", (next-1-keep)/20, carried)
}

// TestOutputBesideAnAppender: what a node appends meanwhile is not in the output, and a
// warning says so.
func TestOutputBesideAnAppender(t *testing.T) {
	path := clitest.History(t, 20)
	before := clitest.FileSize(t, path)
	appending := exec.Command("appender", path, "21", "1000000", "1ms")
	require.NoError(t, appending.Start())
	defer func() { _ = appending.Process.Kill(); _ = appending.Wait() }()
	clitest.WaitFor(t, appending, func() bool { return clitest.FileSize(t, path) > before })
	said := ""
	for said == "" {
		code, _, stderr := runPrune("--file", path, "--keep", "all", "--force", "--output", path+".pruned")
		require.Zero(t, code, stderr)
		if strings.Contains(stderr, "during the prune") {
			said = stderr
		}
	}
	require.Regexp(t, `warning: \S+ grew by [0-9]+ bytes during the prune, which are not in \S+\n.*hint: while a node is running, prune with --in-place, which carries them over`, said)
	require.NotEmpty(t, clitest.Times(t, path+".pruned"))
}

// TestInPlaceKilled kills the pruning process at random moments while another appends,
// and runs it again each time. Nothing is lost, duplicated or reordered.
func TestInPlaceKilled(t *testing.T) {
	clitest.SkipUnderRace(t)
	kills := 200
	if testing.Short() {
		kills = 20
	}
	keep := kills * 10
	rng := rand.New(rand.NewSource(1))
	path := clitest.History(t, keep)
	next := keep + 1
	for range kills {
		appending := exec.Command("appender", path, fmt.Sprint(next), "10")
		next += 10
		require.NoError(t, appending.Start())
		pruning := exec.Command(prunesnapshots.Name, shortWatch, "--file", path, "--keep", fmt.Sprint(keep), "--in-place")
		require.NoError(t, pruning.Start())
		// This is the moment of the crash; it does not wait for anything.
		time.Sleep(time.Duration(rng.Intn(100_000)) * time.Microsecond)
		require.NoError(t, pruning.Process.Kill())
		_ = pruning.Wait()
		require.NoError(t, appending.Wait())
	}
	code, stderr := completes(t, path, "--keep", fmt.Sprint(keep))
	require.Zero(t, code, stderr)
	requireLast(t, path, keep, next-1)
}

// completes runs a prune in place. It asserts that the leftovers of killed runs have the
// outcome that was announced: they are completed, or stay.
func completes(t *testing.T, path string, args ...string) (code int, stderr string) {
	t.Helper()
	left, err := swap.LeftOf(path)
	require.NoError(t, err)
	code, _, stderr = runPrune(append([]string{"--file", path, "--in-place"}, args...)...)
	after, err := swap.Left(path)
	require.NoError(t, err)
	elsewhere := []string(nil)
	for _, name := range left {
		if name.Elsewhere {
			elsewhere = append(elsewhere, name.Path)
		}
	}
	require.Equal(t, elsewhere, after, "%+v\n%s", left, stderr)
	require.Equal(t, len(elsewhere) > 0, code != exit.OK, stderr)
	return code, stderr
}

// killedInPlace creates the leftovers of a run that was killed after the swap: it kept
// snapshots 4 and 5 of 1 to 5, pending was appended to the old file, and later to the
// new one.
func killedInPlace(t *testing.T, pending, later string) (path, old string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "l2_snapshots.dat")
	all, kept := "", clitest.Numbered(4)+clitest.Numbered(5)
	for i := 1; i <= 5; i++ {
		all += clitest.Numbered(i)
	}
	require.NoError(t, os.WriteFile(path, []byte(kept+later), 0o644))
	old = filepath.Join(filepath.Dir(path), fmt.Sprintf(".l2_snapshots.dat.ailee-old-%d-%d", len(all), len(kept)))
	require.NoError(t, os.WriteFile(old, []byte(all+pending), 0o644))
	return path, old
}

// TestInPlaceCompletedInOrder: what a killed run had still to carry over is put before what
// a node has appended since, however much of it was already carried over.
func TestInPlaceCompletedInOrder(t *testing.T) {
	for name, carried := range map[string]string{
		"nothing":  "",
		"a part":   clitest.Numbered(6)[:1000],
		"one":      clitest.Numbered(6),
		"and more": clitest.Numbered(6) + clitest.Numbered(7)[:1000],
		"all":      clitest.Numbered(6) + clitest.Numbered(7),
	} {
		for last, appended := range map[int]string{7: "", 8: clitest.Numbered(8), 9: clitest.Numbered(8) + clitest.Numbered(9)} {
			t.Run(fmt.Sprintf("%s carried over, then up to %d", name, last), func(t *testing.T) {
				path, _ := killedInPlace(t, clitest.Numbered(6)+clitest.Numbered(7), carried+appended)
				code, stderr := completes(t, path, "--keep", "all")
				require.Zero(t, code, stderr)
				require.Contains(t, stderr, "an earlier run was killed")
				requireLast(t, path, last-3, last)
			})
		}
	}
}

// TestInPlaceCompletedTorn: writers that died while writing cost no other snapshot.
func TestInPlaceCompletedTorn(t *testing.T) {
	for name, c := range map[string]struct {
		pending, behind string
		last            int
	}{
		"to the old file":                        {clitest.Numbered(6)[:1000], clitest.Numbered(7), 7},
		"to the old file, carried over":          {clitest.Numbered(6)[:1000], clitest.Numbered(6)[:1000] + "\n" + clitest.Numbered(7), 7},
		"to the new file":                        {clitest.Numbered(6) + clitest.Numbered(7), clitest.Numbered(8)[:500], 7},
		"to the new file, a part carried over":   {clitest.Numbered(6) + clitest.Numbered(7), clitest.Numbered(6) + clitest.Numbered(7)[:700] + clitest.Numbered(8)[:500], 7},
		"to the new file at once":                {clitest.Numbered(6) + clitest.Numbered(7), clitest.Numbered(6) + clitest.Numbered(7)[:700] + "SNAP", 7},
		"to both":                                {clitest.Numbered(6)[:1000], clitest.Numbered(7)[:500], 5},
		"to the old file, two behind in the new": {clitest.Numbered(6) + clitest.Numbered(7)[:900], clitest.Numbered(6) + clitest.Numbered(8) + clitest.Numbered(9), 9},
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := killedInPlace(t, c.pending, c.behind)
			for range 2 {
				code, stderr := completes(t, path, "--keep", "all")
				require.Zero(t, code, stderr)
			}
			want := []uint64{4, 5}
			for i := uint64(6); i <= 9; i++ {
				if strings.Contains(c.pending, clitest.Numbered(int(i))) || strings.Contains(c.behind, clitest.Numbered(int(i))) {
					want = append(want, i)
				}
			}
			require.Equal(t, want, clitest.Times(t, path))
			require.EqualValues(t, c.last, want[len(want)-1])
			require.Equal(t, []string{"l2_snapshots.dat"}, clitest.Names(t, filepath.Dir(path)))
		})
	}
}

// TestInPlaceCompletedElsewhere: pending snapshots are not added to a different file that
// has been put in the place since.
func TestInPlaceCompletedElsewhere(t *testing.T) {
	for name, other := range map[string]string{
		"a backup":           clitest.Numbered(1) + clitest.Numbered(2) + clitest.Numbered(3) + clitest.Numbered(4) + clitest.Numbered(5),
		"a shorter one":      clitest.Numbered(3),
		"of the same length": clitest.Numbered(3) + clitest.Numbered(4),
		"without snapshots":  strings.Repeat("x", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			path, old := killedInPlace(t, clitest.Numbered(6), "")
			require.NoError(t, os.WriteFile(path, []byte(other), 0o644))
			before, err := os.ReadFile(old)
			require.NoError(t, err)
			code, stderr := completes(t, path, "--keep", "all")
			require.Equal(t, exit.Failed, code)
			require.Contains(t, stderr, "was replaced after an earlier run was killed")
			now, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, other, string(now))
			after, err := os.ReadFile(old)
			require.NoError(t, err)
			require.Equal(t, before, after)
		})
	}
	// Nor are they dropped if there is no file.
	path, old := killedInPlace(t, clitest.Numbered(6), "")
	require.NoError(t, os.Remove(path))
	code, stderr := completes(t, path, "--keep", "all")
	require.Equal(t, exit.Failed, code, stderr)
	require.FileExists(t, old)
	// If nothing is pending, nothing is lost.
	path, _ = killedInPlace(t, "", "")
	require.NoError(t, os.WriteFile(path, []byte(clitest.Numbered(3)), 0o644))
	code, stderr = completes(t, path, "--keep", "all")
	require.Zero(t, code, stderr)
	requireLast(t, path, 1, 3)
}

// TestInPlaceKilledAtTheSecondSwap: names left by files that were not replaced after all
// are completed first, or they would be in the way for ever.
func TestInPlaceKilledAtTheSecondSwap(t *testing.T) {
	path, _ := killedInPlace(t, clitest.Numbered(6), clitest.Numbered(7))
	for _, numbers := range []string{"1-1", fmt.Sprintf("%d-%d", clitest.FileSize(t, path), clitest.FileSize(t, path)+int64(len(clitest.Numbered(6))))} {
		require.NoError(t, os.Link(path, filepath.Join(filepath.Dir(path), ".l2_snapshots.dat.ailee-old-"+numbers)))
	}
	code, stderr := completes(t, path, "--keep", "all")
	require.Zero(t, code, stderr)
	requireLast(t, path, 4, 7)
}

// TestInPlaceKeepsAttributes: owner, mode and extended attributes.
func TestInPlaceKeepsAttributes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	require.NoError(t, os.WriteFile(path, []byte(clitest.Numbered(1)+clitest.Numbered(2)), 0o640))
	require.NoError(t, os.Chmod(path, 0o604))
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1234, 2345
		require.NoError(t, os.Chown(path, uid, gid))
	}
	attributes := unix.Setxattr(path, "user.origin", []byte("node-7"), 0) == nil
	code, _, stderr := runPrune("--file", path, "--keep", "1", "--in-place")
	require.Zero(t, code, stderr)
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	require.EqualValues(t, 0o604, st.Mode&0o7777)
	require.EqualValues(t, uid, st.Uid)
	require.EqualValues(t, gid, st.Gid)
	if attributes {
		value := make([]byte, 16)
		n, err := unix.Getxattr(path, "user.origin", value)
		require.NoError(t, err)
		require.Equal(t, "node-7", string(value[:n]))
	}
	require.Equal(t, []uint64{2}, clitest.Times(t, path))
}

// TestInPlaceWaitsForAWriter: a snapshot that is being written when the run
// starts is not torn.
func TestInPlaceWaitsForAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	require.NoError(t, os.WriteFile(path, []byte(clitest.Numbered(1)+clitest.Numbered(2)), 0o640))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	third := clitest.Numbered(3)
	_, err = f.WriteString(third[:100])
	require.NoError(t, err)
	pruning := exec.Command(prunesnapshots.Name, shortWatch, "--file", path, "--keep", "1", "--in-place")
	require.NoError(t, pruning.Start())
	// The temporary file shows that the prune has started. It cannot end before f is closed.
	clitest.WaitFor(t, pruning, func() bool {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), ".l2_snapshots.dat.ailee-tmp"))
		return err == nil && info.Size() > 0
	})
	_, err = f.WriteString(third[100:])
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, pruning.Wait())
	require.Equal(t, []uint64{2, 3}, clitest.Times(t, path))
}

// TestInPlaceWatches: the replaced file keeps its second name for a late writer, for as long
// as --watch says and no less.
func TestInPlaceWatches(t *testing.T) {
	path := clitest.History(t, 3)
	const watch = 500 * time.Millisecond
	began := time.Now()
	code, _, stderr := clitest.Run(prunesnapshots.Tool(), "--in-place", "--watch", watch.String(), "--keep", "2", "--file", path)
	require.Equal(t, exit.OK, code, stderr)
	require.GreaterOrEqual(t, time.Since(began), watch)
	requireLast(t, path, 2, 3)
}
