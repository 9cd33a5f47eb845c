package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/snapshot"
)

// somebody is another process that works on the file while it is pruned.
type somebody struct {
	name string
	// does does it when a call is about to be made. Work that may have to wait for the prune continues
	// in the background, and has ended when the group has.
	does func(t *testing.T, file string, waits *sync.WaitGroup)
	// The times of the snapshots that the file must have in the end: from a number up to oldest to
	// last, each once, without a gap, and no others.
	oldest, last int
}

// others returns the processes that work on a file with snapshots 1 to 5, of which 3 are kept.
func others(t *testing.T) []somebody {
	six, seven, restored, longer := encoded(t, 6, 6), encoded(t, 7, 7), encoded(t, 101, 105), encoded(t, 201, 230)
	prune := func(file, keep string) {
		// It may be refused: only one prune can run at a time.
		_ = exec.Command(bin(prunesnapshots.Name), "--file", file, "--in-place", "--keep", keep, noWatch).Run()
	}
	return []somebody{
		{"appends", func(t *testing.T, file string, waits *sync.WaitGroup) {
			writes(t, file, unix.O_APPEND, six, waits)
		}, 4, 6},
		{"renames a file over it", func(t *testing.T, file string, _ *sync.WaitGroup) {
			fresh := file + ".restored"
			require.NoError(t, os.WriteFile(fresh, []byte(restored), 0o640))
			require.NoError(t, os.Rename(fresh, file))
		}, 103, 105},
		{"copies a longer file over it", func(t *testing.T, file string, waits *sync.WaitGroup) {
			writes(t, file, unix.O_TRUNC, longer, waits)
		}, 228, 230},
		{"prunes, and a node appends", func(t *testing.T, file string, waits *sync.WaitGroup) {
			prune(file, "4")
			writes(t, file, unix.O_APPEND, six+seven, waits)
		}, 5, 7},
		{"appends, and renames a file over it", func(t *testing.T, file string, waits *sync.WaitGroup) {
			// A signal restarts an open that waits, which would then find the other file.
			before, err := os.OpenFile(file, unix.O_PATH, 0)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, before.Close()) })
			writes(t, fmt.Sprintf("/proc/self/fd/%d", before.Fd()), unix.O_APPEND, six, waits)
			fresh := file + ".restored"
			require.NoError(t, os.WriteFile(fresh, []byte(restored), 0o640))
			require.NoError(t, os.Rename(fresh, file))
		}, 103, 105},
	}
}

// writes opens the file and writes in pieces, at once if nobody has a lease on it, and otherwise in the
// background as soon as the open succeeds.
func writes(t *testing.T, file string, flags int, text string, waits *sync.WaitGroup) {
	t.Helper()
	write := func(f *os.File) {
		for piece := range slices.Chunk([]byte(text), 1000) {
			if _, err := f.Write(piece); err != nil {
				t.Error(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0)
	if err == nil {
		write(os.NewFile(uintptr(fd), file))
		return
	}
	require.ErrorIs(t, err, unix.EAGAIN)
	thread, opened := make(chan int), make(chan struct{})
	waits.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		f, err := os.OpenFile(file, os.O_WRONLY|flags, 0)
		close(opened)
		if err != nil {
			t.Error(err)
			return
		}
		write(f)
	})
	// Once it waits in open, it waits for this file, whatever gets its name.
	waiting := fmt.Sprintf("/proc/self/task/%d/syscall", <-thread)
	for {
		select {
		case <-opened:
			return
		default:
		}
		text, err := os.ReadFile(waiting)
		require.NoError(t, err)
		if strings.HasPrefix(string(text), strconv.Itoa(unix.SYS_OPENAT)+" ") {
			return
		}
		runtime.Gosched()
	}
}

// watched has the calls at which the other process acts: those that others can notice, and those with
// which a prune checks.
var watched = func() map[uint64]call {
	all := maps.Clone(calls)
	all[unix.SYS_FLOCK] = call{name: "flock", place: file(0)}
	all[unix.SYS_FLISTXATTR] = call{name: "flistxattr", place: file(0)}
	all[unix.SYS_PREAD64] = call{name: "pread64", place: file(0)}
	return all
}()

// timesOf returns the times of all snapshots in a file, which must contain nothing else.
func timesOf(t *testing.T, path string) (all []int) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	end := int64(0)
	for r, err := range snapshot.NewChecker(nil).CheckRange(t.Context(), bytes.NewReader(text), 0, int64(len(text)), int64(len(text))) {
		require.NoError(t, err)
		require.Equal(t, snapshot.Valid, r.Verdict())
		require.Equal(t, end, r.Offset, "bytes between snapshots")
		end = r.End()
		all = append(all, int(r.TimestampMs))
	}
	require.EqualValues(t, len(text), end)
	return all
}

// prunedBeside prunes the file, lets the other process act at the k-th call, kills the prune kill calls
// later unless kill is negative, and returns how many calls there were.
func prunedBeside(t *testing.T, path string, k, kill int, who somebody) (n int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer out.Close()
	var waits sync.WaitGroup
	status, err := traceCalls(ctx, watched, []string{bin(prunesnapshots.Name), "--file", path, "--in-place", "--keep", "3", noWatch},
		os.Environ(), out, out, filepath.Dir(path), func(call) fault {
			n++
			if n == k {
				who.does(t, path, &waits)
			}
			return fault{kill: kill >= 0 && n == k+kill}
		})
	require.NoError(t, err)
	waits.Wait()
	_, err = out.Seek(0, io.SeekStart)
	require.NoError(t, err)
	text, err := io.ReadAll(out)
	require.NoError(t, err)
	return n, fmt.Sprintf("exit %d: %s", status.ExitStatus(), text)
}

// TestSomebodyAtEveryCall lets another process act at each call of a prune in place, and kills the
// prune at some of the calls after that. When another run has completed it, nothing is lost, mixed or
// out of order.
func TestSomebodyAtEveryCall(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for short mode: takes a minute")
	}
	inMemory(t)
	kills := []int{-1, 0, 1, 2, 3, 5, 8, 12}
	step := 1
	if !*all {
		kills, step = []int{-1, 2}, 5
	}
	for _, who := range others(t) {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			for _, kill := range kills {
				for k, n := 1, 1; k <= n; k += step {
					path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
					snapshots(t, path, 5)
					var said string
					n, said = prunedBeside(t, path, k, kill, who)
					if n < k {
						break
					}
					completed, err := exec.Command(bin(prunesnapshots.Name), "--file", path, "--in-place", "--keep", "all", noWatch).CombinedOutput()
					at := fmt.Sprintf("call %d, kill %d: %scompleted: %s", k, kill, said, completed)
					require.NoError(t, err, at)
					who.expect(t, path, at)
				}
			}
		})
	}
}

func (who somebody) expect(t *testing.T, path, at string) {
	t.Helper()
	all := timesOf(t, path)
	require.NotEmpty(t, all, at)
	require.LessOrEqual(t, all[0], who.oldest, at)
	for i, ms := range all {
		require.Equal(t, who.last-len(all)+1+i, ms, "%v\n%s", all, at)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	for _, entry := range entries {
		if name := entry.Name(); name != filepath.Base(path) && !strings.HasSuffix(name, notes) {
			t.Errorf("left behind: %s\n%s", name, at)
		}
	}
}

// TestLeaseTakenBack stops a prune in place at its calls for longer than the kernel grants a lease that
// a node waits for: the node continues, and nothing is lost.
func TestLeaseTakenBack(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for short mode: takes a minute")
	}
	const setting = "/proc/sys/fs/lease-break-time"
	before, err := os.ReadFile(setting)
	if err != nil || os.WriteFile(setting, []byte("1"), 0) != nil {
		t.Skip("only root can make the kernel revoke leases sooner")
	}
	t.Cleanup(func() { require.NoError(t, os.WriteFile(setting, before, 0)) })
	inMemory(t)
	who := somebody{"appends", func(t *testing.T, file string, _ *sync.WaitGroup) {
		var through sync.WaitGroup
		writes(t, file, unix.O_APPEND, encoded(t, 6, 6), &through)
		through.Wait() // the prune continues only then
	}, 4, 6}
	taken := 0
	for k, n := 1, 1; k <= n; k++ {
		path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
		snapshots(t, path, 5)
		began := time.Now()
		var said string
		n, said = prunedBeside(t, path, k, -1, who)
		if time.Since(began) > time.Second {
			taken++
		}
		if n >= k {
			require.True(t, strings.HasPrefix(said, "exit 0"), "call %d: %s", k, said)
			who.expect(t, path, "call "+strconv.Itoa(k)+": "+said)
		}
	}
	require.Positive(t, taken, "no lease was revoked")
}

// TestPruneOfAFileMountedAlone: a process that has the file through its own mount would continue with
// the old file.
func TestPruneOfAFileMountedAlone(t *testing.T) {
	requireMounts(t)
	path, elsewhere := filepath.Join(t.TempDir(), "l2_snapshots.dat"), filepath.Join(t.TempDir(), "l2_snapshots.dat")
	snapshots(t, path, 5)
	require.NoError(t, os.WriteFile(elsewhere, nil, 0o600))
	require.NoError(t, unix.Mount(path, elsewhere, "", unix.MS_BIND, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(elsewhere, unix.MNT_DETACH)) })
	for _, file := range []string{path, elsewhere} {
		out, err := exec.Command(bin(prunesnapshots.Name), "--file", file, "--in-place", "--keep", "3", noWatch).CombinedOutput()
		require.Error(t, err, string(out))
		require.Contains(t, string(out), "is also mounted by itself, at "+elsewhere)
		require.Contains(t, string(out), "hint: stop what uses that mount")
		require.Len(t, timesOf(t, path), 5)
		require.Equal(t, []string{"l2_snapshots.dat"}, namesIn(filepath.Dir(file)))
	}
}

// TestPruneOfAFileInAContainer: another process has the file mounted by itself, which only root can
// see, and the folder belongs to the node's user.
func TestPruneOfAFileInAContainer(t *testing.T) {
	requireMounts(t)
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "l2_snapshots.dat"), filepath.Join(dir, "inside")
	snapshots(t, path, 5)
	require.NoError(t, os.WriteFile(elsewhere, nil, 0o600))
	for _, name := range []string{dir, path} {
		require.NoError(t, os.Chown(name, uid, gid))
	}
	container := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$1" "$2" && echo ready; read line`, "sh", path, elsewhere)
	in, err := container.StdinPipe()
	require.NoError(t, err)
	out, err := container.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, container.Start())
	t.Cleanup(func() { _ = in.Close(); _ = container.Wait() })
	ready := make([]byte, 5)
	_, err = io.ReadFull(out, ready)
	require.NoError(t, err)
	said, err := exec.Command(bin(prunesnapshots.Name), "--file", path, "--in-place", "--keep", "3", noWatch).CombinedOutput()
	require.Error(t, err, string(said))
	require.Contains(t, string(said), "is also mounted by itself, at "+elsewhere+" for sh (pid ")
	require.Len(t, timesOf(t, path), 5)
}

// TestPruneOfAHardLink: the other name would keep the old file.
func TestPruneOfAHardLink(t *testing.T) {
	if testing.Short() {
		t.Skip("the tools are not built")
	}
	path := filepath.Join(t.TempDir(), "l2_snapshots.dat")
	snapshots(t, path, 5)
	require.NoError(t, os.Link(path, path+".other"))
	out, err := exec.Command(bin(prunesnapshots.Name), "--file", path, "--in-place", "--keep", "3", noWatch).CombinedOutput()
	require.Error(t, err, string(out))
	require.Regexp(t, `has 2 hard links.*\n.*hint: find the others, and remove them: find `, string(out))
	require.Len(t, timesOf(t, path), 5)
}
