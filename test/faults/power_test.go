package faults

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A disk is a file with a mounted file system. What is written to the file system and not yet written
// back is only in the kernel's memory, and not in the file.
type disk struct {
	image string
	dir   string // the mount point
	stats string // the statistics of its block device
}

// mountOptions are the ways to mount an ext4: with the defaults, and with as few guarantees as
// possible. By default it syncs the data of a file that is renamed over another one (auto_da_alloc),
// and writes data before the names that lead to it (data=ordered).
var mountOptions = []string{"defaults", "data=writeback,noauto_da_alloc,commit=600"}

// newDisk makes a disk and mounts it.
func newDisk(t *testing.T, options string, size int64) *disk {
	t.Helper()
	d := &disk{image: filepath.Join(t.TempDir(), "disk"), dir: reachable(t)}
	f, err := os.Create(d.image)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(size))
	require.NoError(t, f.Close())
	execute(t, "mkfs.ext4", "-q", "-F", "-N", "1024", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=1", d.image)
	d.mount(t, options)
	require.NoError(t, os.Remove(filepath.Join(d.dir, "lost+found")))
	return d
}

// mount mounts the disk, which replays the journal, as when a machine starts again.
func (d *disk) mount(t *testing.T, options string) {
	t.Helper()
	execute(t, "mount", "-t", "ext4", "-o", "loop,"+options, d.image, d.dir)
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	var st unix.Stat_t
	require.NoError(t, unix.Stat(d.dir, &st))
	d.stats = fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev))
}

// sync syncs only this disk: other disks must lose what is not synced.
func (d *disk) sync(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.dir)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.Syncfs(int(f.Fd())))
}

// unmount detaches the disk and lets the kernel unmount it later: a process that another test has just
// forked may have files open there until it executes its program.
func (d *disk) unmount(t *testing.T) {
	t.Helper()
	require.NoError(t, unix.Unmount(d.dir, unix.MNT_DETACH))
}

func execute(t *testing.T, name string, args ...string) {
	t.Helper()
	said, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %q: %s", name, args, said)
}

// written returns how much was written so far, and whether nothing is being written now.
func (d *disk) written() (mark string, quiet bool, err error) {
	text, err := os.ReadFile(d.stats)
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 9 {
		return "", false, fmt.Errorf("%q: %w", text, err)
	}
	// Completed writes, sectors written, and requests in flight.
	return fields[4] + " " + fields[6], fields[8] == "0", nil
}

// cut copies the disk as it is at one moment, unless nothing was written since the mark before.
func (d *disk) cut(before, to string) (mark string, err error) {
	for {
		mark, quiet, err := d.written()
		if err != nil || quiet && mark == before {
			return mark, err
		}
		if !quiet {
			continue
		}
		if err := copySparse(d.image, to); err != nil {
			return mark, err
		}
		after, quiet, err := d.written()
		if err != nil || quiet && after == mark {
			return mark, err
		}
	}
}

// copySparse copies a file and keeps its holes.
func copySparse(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := dst.Truncate(info.Size()); err != nil {
		return err
	}
	for at := int64(0); ; {
		start, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		}
		if err != nil {
			return err
		}
		if at, err = unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, at-start)); err != nil {
			return err
		}
	}
}

// requireMounts skips the test if it cannot mount anything.
func requireMounts(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("too long for short mode")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can mount the file systems for power cuts")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("this machine has no loop devices for power cuts")
	}
}

// TestPowerCutLosesWhatIsNotSynced shows what the other tests rely on: what is not synced is lost, and
// what is synced is not.
func TestPowerCutLosesWhatIsNotSynced(t *testing.T) {
	requireMounts(t)
	inMemory(t)
	for _, options := range mountOptions {
		t.Run(options, func(t *testing.T) {
			d := newDisk(t, options, 64<<20)
			old, fresh := filepath.Join(d.dir, "old"), filepath.Join(d.dir, "fresh")
			require.NoError(t, os.WriteFile(old, []byte("old"), 0o600))
			d.sync(t)
			afterCut := func() (oldText, freshText string) {
				t.Helper()
				copied := &disk{image: filepath.Join(t.TempDir(), "disk"), dir: reachable(t)}
				_, err := d.cut("", copied.image)
				require.NoError(t, err)
				copied.mount(t, options)
				defer copied.unmount(t)
				read := func(name string) string {
					text, err := os.ReadFile(filepath.Join(copied.dir, name))
					if err != nil {
						return "missing"
					}
					return string(text)
				}
				return read("old"), read("fresh")
			}
			require.NoError(t, os.WriteFile(fresh, []byte("fresh"), 0o600))
			oldText, freshText := afterCut()
			require.Equal(t, []string{"old", "missing"}, []string{oldText, freshText})

			// The name is synced, the content is not.
			folder, err := os.Open(d.dir)
			require.NoError(t, err)
			require.NoError(t, os.Rename(fresh, old))
			require.NoError(t, folder.Sync())
			require.NoError(t, folder.Close())
			oldText, _ = afterCut()
			if options != mountOptions[0] {
				require.Empty(t, strings.Trim(oldText, "\x00"), "a missing fsync has no effect")
			}

			f, err := os.Open(old)
			require.NoError(t, err)
			require.NoError(t, f.Sync())
			require.NoError(t, f.Close())
			oldText, _ = afterCut()
			require.Equal(t, "fresh", oldText)
			d.unmount(t)
		})
	}
}

// TestPowerCut cuts the power at every call of every command, and after the command has reported
// success.
func TestPowerCut(t *testing.T) {
	requireMounts(t)
	inMemory(t)
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.ready(t)
			for _, options := range mountOptions {
				t.Run(options, func(t *testing.T) { s.cutPower(t, options) })
			}
		})
	}
}

// moment is the state of the disk before one or more calls.
type moment struct {
	image string
	from  call     // the first of these calls
	paid  []string // the transactions paid by then
	done  bool     // the command has ended and reported success
}

func (s *scenario) cutPower(t *testing.T, options string) {
	size := int64(64 << 20)
	if s.roomy {
		size *= 4
	}
	d := newDisk(t, options, size)
	s.copy(t, d.dir)
	d.sync(t)
	s.payments.begin()
	images := t.TempDir()
	var moments []moment
	mark := ""
	cut := func(c call, done bool) {
		image := filepath.Join(images, fmt.Sprint(len(moments)))
		at, err := d.cut(mark, image)
		if err != nil {
			t.Error(err)
			return
		}
		if at != mark {
			moments, mark = append(moments, moment{image: image, from: c}), at
		}
		last := &moments[len(moments)-1]
		last.paid, last.done = s.payments.own(), done
	}
	out, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer out.Close()
	status, err := trace(t.Context(), s.command(d.dir, 0), s.env(d.dir), out, out, d.dir, func(c call) fault {
		if c.name != "close" {
			cut(c, false)
			count(s.name, "power cut", c.name)
		}
		if c.name == "sync_file_range" {
			// It would bring the data into the image. A real disk may still lose it.
			return fault{errno: unix.ENOSYS}
		}
		return fault{}
	})
	require.NoError(t, err)
	require.Zero(t, status.ExitStatus())
	cut(call{name: "exit"}, true)
	count(s.name, "power cut", "exit")
	d.unmount(t)
	for i, m := range moments {
		if !*all && !m.done && i%(1+len(moments)/8) != 0 {
			continue
		}
		s.startAgain(t, m, options)
	}
}

// startAgain checks what is there when the machine starts again, and completes it.
func (s *scenario) startAgain(t *testing.T, m moment, options string) {
	d := &disk{image: m.image, dir: reachable(t)}
	d.mount(t, options)
	defer os.Remove(m.image)
	defer d.unmount(t)
	failed := func(err error, said string) {
		t.Errorf("%s: power cut before %s %s: %v\n%s", s.name, m.from.name, m.from.path, err, said)
	}
	s.payments.begin(m.paid...)
	// A removal may be lost: the file is removed once more.
	found, left := s.look(t, d.dir)
	if err := s.compare(found, m.done); err != nil {
		failed(err, "")
		return
	}
	if m.done && len(left) == 0 || s.check(t, d.dir, true) == nil {
		return
	}
	if code, said := s.run(t, d.dir, 1); code != 0 {
		failed(fmt.Errorf("the second run exits with %d", code), said)
	} else if err := s.check(t, d.dir, true); err != nil {
		failed(fmt.Errorf("after the second run: %w", err), said)
	}
}
