package faults

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A way to break a run at the k-th call that it applies to.
type way struct {
	name   string
	fault  fault
	on     []string // the calls that it applies to, nil for all
	then   fault    // the fault of all later calls
	thenOn []string // the later calls that it applies to, nil for all
}

var (
	filling      = []string{"write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile", "fallocate", "creates", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "rename", "renameat", "renameat2", "fsync", "fdatasync", "syncfs", "fsetxattr"}
	writing      = []string{"write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile"}
	shortened    = []string{"write", "pwrite64", "copy_file_range", "sendfile"}
	interrupting = []string{"write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile", "fallocate", "open", "openat", "creat", "fsync", "fdatasync", "ftruncate", "fchmod", "fchown", "close", "fcntl"}
)

// ways begins with a crash, and ends with a disk that stays full and one that keeps failing.
var ways = []way{
	{name: "KILL", fault: fault{kill: true}},
	{name: "ENOSPC", fault: fault{errno: unix.ENOSPC}, on: slices.Concat(filling, []string{"close"})},
	{name: "EIO", fault: fault{errno: unix.EIO}},
	{name: "EINTR", fault: fault{errno: unix.EINTR}, on: interrupting},
	{name: "short", fault: fault{short: true}, on: shortened},
	{name: "one KILL", fault: fault{kill: true, alone: true}},
	{name: "full", fault: fault{short: true}, on: shortened, then: fault{errno: unix.ENOSPC}, thenOn: filling},
	{name: "dead", fault: fault{errno: unix.EIO}, then: fault{errno: unix.EIO}},
}

// concerns reports whether a call is one of those named, nil for all.
func (c call) concerns(commands []string) bool {
	switch {
	case c.size >= 0 && c.args[c.size] < 2 && slices.Equal(commands, shortened):
		return false
	case commands == nil:
		return true
	case (c.name == "open" || c.name == "openat") && slices.Contains(commands, "creates"):
		return c.args[c.place.path+1]&unix.O_CREAT != 0
	}
	return slices.Contains(commands, c.name)
}

// outcome is how a broken run ended.
type outcome struct {
	hit      *call  // nil if it ended before its k-th call
	before   string // the path of the call before
	unsynced bool   // the call is on a file that was written after its last sync
	calls    int    // how many calls the way applies to
	always   []int  // the calls that every sample includes
	code     int    // -1 if killed
	said     string // standard output and standard error
}

// breaks runs the command and breaks it in the given way at its k-th call.
func (s *scenario) breaks(t *testing.T, root string, w way, k int) (o outcome) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer out.Close()
	last, unsynced := "", map[inode]bool{}
	status, err := trace(t.Context(), slices.Insert(s.command(root, 0), 1, "--json"), s.env(root), out, out, root, func(c call) fault {
		if o.hit == nil {
			defer func() { last = c.path }()
			switch {
			case slices.Contains(writing, c.name):
				unsynced[c.inode()] = true
			case c.name == "fsync" || c.name == "fdatasync":
				delete(unsynced, c.inode())
			case c.name == "syncfs":
				clear(unsynced)
			}
		}
		if o.hit != nil && c.concerns(w.thenOn) {
			return w.then
		}
		if w.fault.kill && c.name == "close" || !c.concerns(w.on) {
			return fault{}
		}
		if o.calls++; c.name == s.always {
			o.always = append(o.always, o.calls)
		}
		if o.calls != k {
			return fault{}
		}
		o.hit, o.before, o.unsynced = &c, last, c.fd >= 0 && unsynced[c.inode()]
		return w.fault
	})
	require.NoError(t, err)
	_, err = out.Seek(0, io.SeekStart)
	require.NoError(t, err)
	said, err := io.ReadAll(out)
	require.NoError(t, err)
	o.code, o.said = status.ExitStatus(), string(said)
	return o
}

// try breaks a run, checks what it left, and completes it.
func (s *scenario) try(t *testing.T, w way, k int) outcome {
	t.Helper()
	root := filepath.Join(s.scratch, fmt.Sprintf("%s-%d", w.name, k))
	defer os.RemoveAll(root)
	s.copy(t, root)
	s.payments.begin()
	o := s.breaks(t, root, w, k)
	if o.hit == nil {
		return o
	}
	at := fmt.Sprintf("%s: %s at call %d, %s %s", s.name, w.name, k, o.hit.name, o.hit.path)
	count(s.name, w.name, o.hit.name)
	if err := s.judge(t, root, w, o); err != nil {
		t.Errorf("%s: %v\nexit %d: %s", at, err, o.code, o.said)
		return o
	}
	if s.check(t, root, true) == nil {
		return o // there is nothing to complete
	}
	code, said := s.run(t, root, 1)
	if code != 0 {
		t.Errorf("%s: the second run exits with %d: %s", at, code, said)
	} else if err := s.check(t, root, true); err != nil {
		t.Errorf("%s: after the second run: %v\n%s\noutput of the first run: %s", at, err, said, o.said)
	}
	return o
}

var (
	oneError = regexp.MustCompile(`(?m)^ailee[-_\w]*: error: .+$`)
	done     = regexp.MustCompile(`"exit_code": ?0\b`)
)

// judge checks how a broken run ended.
func (s *scenario) judge(t *testing.T, root string, w way, o outcome) error {
	if w.fault.kill && !w.fault.alone || o.code < 0 {
		return s.check(t, root, false)
	}
	switch {
	case o.code == 0:
		if w.fault.errno != 0 && w.fault.errno != unix.EINTR && !harmless(o) {
			return fmt.Errorf("the failure is ignored")
		}
	case o.code != 1:
		return fmt.Errorf("neither success nor a clear failure")
	case !oneError.MatchString(o.said):
		return fmt.Errorf("no error is printed")
	case done.MatchString(o.said):
		return fmt.Errorf("it reports success, and fails")
	}
	found, left := s.look(t, root)
	// What can't be removed stays, and so do the files of a killed process.
	stays := strings.HasPrefix(o.hit.name, "unlink") || o.hit.name == "rmdir" || w.fault.kill || w.then != fault{}
	for _, path := range left {
		if !stays && !(o.code == 1 && matches(filepath.Base(path), s.resumed)) {
			return fmt.Errorf("left over: %s", path)
		}
	}
	return s.compare(found, o.code == 0)
}

// ignorable has failures that lose nothing, so that a command may ignore them: patterns of calls, and
// of the last elements of the path of the call and of the call before.
var ignorable = []struct{ calls, path, before, why string }{
	{"sync_file_range", "*", "*", "only starts what the following sync completes"},
	{"copy_file_range", "*", "*", "what the kernel does not copy is read and written instead"},
	{"close", "#*", "*", "of a temporary file without a name, which is gone then"},
	{"fallocate", "*", "*", "only reserves space"},
	{"unlink*", "*", "*", "a file that stays is not used, and a later run removes it"},
	{"fcntl", "*", "*", "a lease that can't be released ends with the descriptor"},
	{"*", ".*" + notes, "*", saidOnly + "a note of a completed prune"},
	{"mkdir", "*reorg_db*", "*", "RocksDB creates an existing folder"},
	{"mkdir", "data", "*", "mkdir -p creates an existing folder"},
	{"link", "*.sst", "*", "RocksDB copies the table instead"},
	{"linkat", "latest", "*", "it is copied instead"},
	{"linkat", "l2_snapshots_*", "*", "it is copied instead"},
	{"linkat", "reorg_db_*", "*", "it is copied instead"},
	{"linkat", "*.replaced_*", "*", "it is copied instead"},
	{"renameat2", "l2_snapshots*", "*", "mv first tries whether the name is free"},
	{"*", ".ailee-reorgdb-*", "*", saidOnly + "the live database is not checked, and replaced by force"},
	{"*", "OPTIONS-*", "*", "RocksDB's options, which only people read"},
	{"fsync", "*reorg_db*", "OPTIONS-*", "of the folder, after the options"},
	{"openat", "*.log", "*", "of a log that is empty by now, to cut off reserved space"},
	{"ftruncate", "*.log", "*", "cuts off reserved space"},
	{"ftruncate", "MANIFEST-*", "*", "cuts off reserved space"},
}

// saidOnly begins the reason for a failure that may be ignored only with a warning.
const saidOnly = "it warns: "

// harmless reports whether the failure is one of those, or that of the close of a completely synced
// file.
func harmless(o outcome) bool {
	if o.hit.name == "close" && !o.unsynced {
		return true
	}
	for _, i := range ignorable {
		call, _ := filepath.Match(i.calls, o.hit.name)
		path, _ := filepath.Match(i.path, lastElement(o.hit.path))
		before, _ := filepath.Match(i.before, lastElement(o.before))
		if call && path && before {
			return !strings.HasPrefix(i.why, saidOnly) || strings.Contains(o.said, ": warning: ")
		}
	}
	return false
}

func lastElement(path string) string { return filepath.Base(strings.TrimSuffix(path, " (deleted)")) }

// TestEveryCall breaks every command at every call, in every way. In short mode it only kills, and
// lets the disk be full once.
func TestEveryCall(t *testing.T) {
	inMemory(t)
	ways := ways
	if testing.Short() {
		ways = ways[:2]
	}
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			if testing.Short() && s.long {
				t.Skip("too long for short mode")
			}
			t.Parallel()
			s.ready(t)
			for _, w := range ways {
				if w.fault.alone && filepath.Dir(s.command("", 0)[0]) == binaries {
					continue // it has one process
				}
				t.Run(w.name, func(t *testing.T) {
					// An unbroken run shows how many calls there are.
					root := s.copy(t, filepath.Join(s.scratch, "count"))
					whole := s.breaks(t, root, w, -1)
					n := whole.calls
					require.NoError(t, os.RemoveAll(root))
					require.True(t, n > 0 || w.on != nil, "no call was traced")
					if *all {
						for k := 1; s.try(t, w, k).hit != nil; k++ {
						}
						return
					}
					countExisting(s.name, w.name, n)
					tries := 2
					if w.fault.kill {
						tries = 3
					}
					ks := append(sample(n, tries), whole.always...)
					slices.Sort(ks)
					for _, k := range slices.Compact(ks) {
						s.try(t, w, k)
					}
				})
			}
		})
	}
}

// sample returns count numbers from 1 to n, including the first and the last.
func sample(n, count int) []int {
	var ks []int
	for i := range min(n, count) {
		ks = append(ks, 1+i*(n-1)/max(1, min(n, count)-1))
	}
	return ks
}

// inMemory puts the test's folders in memory, where a sync costs nothing.
func inMemory(t *testing.T) {
	if dir, err := filepath.EvalSymlinks("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", dir)
	}
}
