package swap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// outputHint is for files that cannot be replaced while a node is running.
const outputHint = "stop the node, and prune with --output"

// remote are file systems that other machines can write to without this kernel's knowledge: a
// lease says nothing about their writers.
var remote = map[uint32]string{
	0x65735546: "FUSE", // virtiofs as well
	0x6969:     "NFS",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB",
	0x517b:     "SMB",
	0x01021997: "9p",
	0x00c36400: "Ceph",
	0x5346414f: "AFS",
	0x73757245: "Coda",
	0x01161970: "GFS2",
	0x7461636f: "OCFS2",
	0x0bd00bd0: "Lustre",
	0x19830326: "BeeGFS",
}

// CouldReplace returns the error with which [Lock] or [Run.Replace] would refuse FILE before
// anything is written. It does not wait, and leaves nothing behind.
func CouldReplace(path string) (err error) {
	r, err := Lock(path, 0, func(string, ...any) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := r.openFile(r.base, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer r.closeUnlessKept(f)
	if err := r.refuse(f.File); err != nil {
		return err
	}
	if _, err := f.Try(); err != nil {
		return explain(err)
	}
	if err := f.GiveBack(); err != nil {
		return err
	}
	return durable.CouldCreate(path, true)
}

// refuse returns why FILE cannot be replaced without loss, as far as that is known beforehand.
func (r *Run) refuse(f *os.File) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	if name := remote[uint32(fs.Type)]; name != "" {
		return exit.Failf(outputHint, "%s is on a %s file system, where there is no telling whether a node has it open", r.path, name)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	if st.Nlink > 1 {
		return exit.Failf("find the others, and remove them: "+exit.Command("find", filepath.Dir(r.path), "-xdev", "-samefile", r.path),
			"%s has %d hard links: a program that writes through another one would go on writing to the old file", r.path, st.Nlink)
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	return mountedAlone(r.path, mine).refuse()
}

// Alone is a mount of a single file.
type Alone struct {
	Point   string // mount point, as the process sees it
	PID     int
	file    string
	process string // folder of the process in /proc
}

// RefuseMounted refuses a file that is mounted by itself, here or for another process, such
// as one in a container: that mount would go on showing the old file. Only root sees all
// mounts. [Run.Replace] checks again, as the user that it runs as, and reports a file that
// cannot be accessed.
func RefuseMounted(path string) error { return MountedAlone(path).refuse() }

// MountedAlone returns a mount of the file by itself, nil if none can be seen.
func MountedAlone(path string) *Alone {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	mine, err := os.Lstat(resolved)
	if err != nil {
		return nil
	}
	return mountedAlone(resolved, mine)
}

func (a *Alone) refuse() error {
	if a == nil {
		return nil
	}
	return exit.Failf("stop what uses that mount, or mount the folder instead", "%s is also mounted by itself, at %s for %s: a program that writes there would go on writing to the old file",
		a.file, a.Point, named(a.process))
}

func mountedAlone(path string, mine os.FileInfo) *Alone {
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	seen := map[string]bool{}
	for _, table := range append([]string{"/proc/self/mountinfo"}, tables...) {
		process := filepath.Dir(table)
		namespace, err := os.Readlink(process + "/ns/mnt")
		if err != nil || seen[namespace] {
			continue
		}
		seen[namespace] = true
		mounts, _ := os.ReadFile(table)
		for line := range strings.Lines(string(mounts)) {
			// 36 35 98:0 /root /mount/point rw …
			fields := strings.Fields(line)
			if len(fields) < 5 {
				continue
			}
			root, point := durable.Unescape(fields[3]), durable.Unescape(fields[4])
			if filepath.Base(strings.TrimSuffix(root, "//deleted")) != filepath.Base(path) {
				continue
			}
			if there, err := os.Stat(process + "/root" + point); err == nil && os.SameFile(there, mine) {
				return &Alone{Point: point, PID: pidOf(process), file: path, process: process}
			}
		}
	}
	return nil
}

// named returns the name and pid of the process with a folder in /proc.
func named(folder string) string {
	name, _ := os.ReadFile(folder + "/comm")
	return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pidOf(folder))
}

// pidOf returns the pid of the process with a folder in /proc, which may be /proc/self.
func pidOf(folder string) int {
	pid := filepath.Base(folder)
	if resolved, err := os.Readlink(folder); err == nil {
		pid = resolved
	}
	n, _ := strconv.Atoi(pid)
	return n
}
