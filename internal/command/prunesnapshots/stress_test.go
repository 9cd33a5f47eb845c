package prunesnapshots_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/snapshot"
)

// stressed is a file that is used at the same time by three prunes in place, two nodes and
// a process that replaces it.
type stressed struct {
	path string
	stop atomic.Bool
	wait sync.WaitGroup

	sync.Mutex
	appended []appendedOne
	replaced time.Time // when the last replacement ended
	first    uint64    // the snapshot that the last replacement begins with
	outcomes map[string]int
	aside    []string // files that a run has named rather than completed
}

// appendedOne is an appended snapshot: its time, and when its file was about to be opened.
type appendedOne struct {
	number uint64
	opened time.Time
}

// The times of the snapshots of each node and of the replacements, which count up.
const (
	stressQuick    = 1_000_000
	stressSlow     = 2_000_000
	stressReplaced = 3_000_000
)

func stressSnapshot(number uint64) string {
	st := snapshot.State{TimestampMs: number}
	st.Ledger.Balances = []snapshot.Balance{{PeerID: fmt.Sprint("peer-", number), Balance: number}}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), number, "m")
	var b bytes.Buffer
	if err := snapshot.Encode(&b, &st); err != nil {
		panic(err)
	}
	return b.String()
}

// node appends one snapshot after the other, with pauses, and keeps the file open for up to
// twice as long as open each time. A line of junk after each gives the prunes something to drop.
func (s *stressed) node(t *testing.T, from uint64, pause, open time.Duration) {
	rng := rand.New(rand.NewSource(int64(from)))
	for number := from; !s.stop.Load(); number++ {
		one := appendedOne{number, time.Now()}
		f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Error(err)
			return
		}
		// In a single write: nodes that write at the same time would tear each other's snapshots.
		linger := func() { time.Sleep(time.Duration(rng.Int63n(int64(open) + 1))) }
		linger()
		_, err = f.WriteString(stressSnapshot(number) + "junk\n")
		linger()
		if closeErr := f.Close(); err != nil || closeErr != nil {
			t.Error(err, closeErr)
			return
		}
		s.Lock()
		s.appended = append(s.appended, one)
		s.Unlock()
		time.Sleep(time.Duration(rng.Int63n(int64(pause))))
	}
}

// replacer renames a new file over it from time to time.
func (s *stressed) replacer(t *testing.T, every time.Duration) {
	rng := rand.New(rand.NewSource(7))
	for number := uint64(stressReplaced); ; number++ {
		for until := time.Now().Add(every/2 + time.Duration(rng.Int63n(int64(every)))); time.Now().Before(until); {
			if s.stop.Load() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		fresh := filepath.Join(filepath.Dir(s.path), "restored")
		if err := os.WriteFile(fresh, []byte(stressSnapshot(number)), 0o644); err != nil {
			t.Error(err)
			return
		}
		s.Lock()
		err := os.Rename(fresh, s.path)
		s.first, s.replaced = number, time.Now()
		s.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
	}
}

var instead = regexp.MustCompile(`after byte \d+ of (\S+), is not in it`)

// pruner prunes over and over. From time to time the process is stopped for a while, and
// sometimes it is killed.
func (s *stressed) pruner(t *testing.T, seed int64, watch time.Duration) {
	rng := rand.New(rand.NewSource(seed))
	for !s.stop.Load() {
		var out bytes.Buffer
		pruning := exec.Command(prunesnapshots.Name, "--in-place", "--keep", "all", "--watch", watch.String(), "--file", s.path)
		pruning.Stdout, pruning.Stderr = &out, &out
		if err := pruning.Start(); err != nil {
			t.Error(err)
			return
		}
		ended := make(chan struct{})
		var meddling sync.WaitGroup
		meddling.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(time.Duration(rng.Int63n(int64(watch)))):
				}
				switch rng.Intn(8) {
				case 0:
					_ = pruning.Process.Kill()
				case 1, 2, 3:
					_ = pruning.Process.Signal(unix.SIGSTOP)
					time.Sleep(time.Duration(rng.Int63n(int64(300 * time.Millisecond))))
					_ = pruning.Process.Signal(unix.SIGCONT)
				}
			}
		})
		_ = pruning.Wait()
		close(ended)
		meddling.Wait()
		s.ended(t, pruning.ProcessState.ExitCode(), out.String())
		time.Sleep(time.Duration(rng.Int63n(int64(200 * time.Millisecond))))
	}
}

// ended records how a prune ended. If it names a file because it cannot know where that
// belongs, the file is moved away, as an operator would do.
func (s *stressed) ended(t *testing.T, code int, said string) {
	s.Lock()
	defer s.Unlock()
	outcome := fmt.Sprint("exit ", code)
	if m := instead.FindStringSubmatch(said); code == 1 && m != nil {
		outcome = "named a file"
		aside := filepath.Join(t.TempDir(), "aside")
		if os.Rename(m[1], aside) == nil {
			s.aside = append(s.aside, aside)
		}
	} else if code > 0 && !strings.Contains(said, "another run is writing it") {
		outcome = said
		if !strings.Contains(said, "is kept open") && !strings.Contains(said, "changed while it was being read") {
			t.Error(said)
		}
	}
	s.outcomes[outcome]++
}

// TestLoadPruningStress: prunes in place are stopped and killed anywhere while two nodes
// append, one of which keeps the file open, and another process replaces the file. Each
// snapshot that was appended to the file of that name is in it once, in its node's order.
func TestLoadPruningStress(t *testing.T) {
	clitest.SkipUnderRace(t)
	length, open := 30*time.Second, time.Second
	switch {
	case clitest.UnderLoad():
		length, open = 10*time.Minute, 5*time.Second
	case testing.Short():
		length, open = 10*time.Second, time.Second/2
	}
	// No look-up takes longer than this, however busy the machine is.
	const watch = time.Second
	s := &stressed{path: filepath.Join(t.TempDir(), "l2_snapshots.dat"), first: stressReplaced - 1, outcomes: map[string]int{}}
	require.NoError(t, os.WriteFile(s.path, []byte(stressSnapshot(s.first)), 0o644))
	s.wait.Go(func() { s.node(t, stressQuick, 20*time.Millisecond, 0) })
	s.wait.Go(func() { s.node(t, stressSlow, time.Second, open) })
	s.wait.Go(func() { s.replacer(t, length/6) })
	for i := range 3 {
		s.wait.Go(func() { s.pruner(t, int64(i), watch) })
	}
	// This is how long the test runs; it does not wait for anything.
	time.Sleep(length)
	s.stop.Store(true)
	s.wait.Wait()
	s.complete(t)
	s.check(t)
	t.Logf("%d appended, the last replacement is %d, %d set aside, runs: %v", len(s.appended), s.first, len(s.aside), s.outcomes)
}

// complete runs once more to do what is left.
func (s *stressed) complete(t *testing.T) {
	for range 10 {
		code, _, said := runPrune("--in-place", "--keep", "all", "--file", s.path)
		if code == 0 {
			return
		}
		s.ended(t, code, said)
	}
	t.Error("no run completes what is left")
}

// check examines the file when nothing uses it any longer.
func (s *stressed) check(t *testing.T) {
	found := map[uint64]int{}
	latest := map[uint64]uint64{}
	for i, number := range clitest.Times(t, s.path) {
		found[number]++
		if i == 0 {
			require.Equal(t, s.first, number, "the file is not what replaced it")
			continue
		}
		require.Less(t, number, uint64(stressReplaced), "mixed with another file")
		node := number / stressQuick
		require.Greater(t, number, latest[node], "out of order")
		latest[node] = number
	}
	lost := []uint64{}
	for _, one := range s.appended {
		require.LessOrEqual(t, found[one.number], 1, "twice: %d", one.number)
		if one.opened.After(s.replaced) && found[one.number] == 0 {
			lost = append(lost, one.number)
		}
	}
	require.Empty(t, lost, "lost of %d", len(s.appended))
	require.Len(t, clitest.Names(t, filepath.Dir(s.path)), 1, "something is left behind")
}
