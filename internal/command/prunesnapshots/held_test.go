package prunesnapshots_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ailee-recovery/internal/clitest"

	"github.com/stretchr/testify/require"
)

// TestLoadHeldByAPrune: how long a node waits to open a file that is being pruned in place
// does not grow with how much of it is kept.
func TestLoadHeldByAPrune(t *testing.T) {
	if !clitest.UnderLoad() {
		t.Skip("a time says nothing on a busy machine: make load")
	}
	const pause = 15 * time.Second // longer than the comparison takes
	for _, megabytes := range []int{10, 4096} {
		path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
		some := strings.Repeat(clitest.Numbered(1), 1+1<<20/len(clitest.Numbered(1)))
		f, err := os.Create(path)
		require.NoError(t, err)
		_, err = f.WriteString("torn\n")
		require.NoError(t, err)
		for range megabytes {
			_, err = f.WriteString(some)
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
		began := time.Now()
		opened, held := besideAPrune(t, path, pause)
		t.Logf("%d MiB kept, %.1f s: the file was opened %d times, and a node waited for %v at most", megabytes, time.Since(began).Seconds(), opened, held)
		// Writing all of it would take longer.
		require.Less(t, held, 2*time.Second)
	}
}

// besideAPrune prunes the file while a node appends a snapshot after each pause. It returns
// how often the node opened the file, and the longest time that it waited for that.
func besideAPrune(t *testing.T, path string, pause time.Duration) (opened int, held time.Duration) {
	var node sync.WaitGroup
	ended := make(chan struct{})
	node.Go(func() {
		for number := 2; ; number++ {
			began := time.Now()
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Error(err)
				return
			}
			opened, held = opened+1, max(held, time.Since(began))
			if _, err := f.WriteString(clitest.Numbered(number)); err != nil {
				t.Error(err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			select {
			case <-ended:
				return
			case <-time.After(pause):
			}
		}
	})
	code, _, stderr := runPrune("--in-place", "--keep", "all", "--file", path)
	close(ended)
	node.Wait()
	require.Zero(t, code, stderr)
	return opened, held
}
