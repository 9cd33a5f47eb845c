package datadir

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/swap"
)

// again is how long to wait before checking again something that may be temporary.
const again = time.Second

// lookHolders checks data-holders. Two writers count only if they are seen twice: these tools
// append to the file of a running node, and are done in a moment.
func (l *looker) lookHolders(ctx context.Context) error {
	h, err := findHolders(l.view.Place, l.unit())
	if err == nil && h.wrong() != "" {
		if err := l.wait(ctx, again); err != nil {
			return err
		}
		h, err = findHolders(l.view.Place, l.unit())
	}
	if err != nil {
		l.couldNot(DataHolders, err)
		return nil
	}
	unit, err := readUnit(l.unit())
	if err != nil {
		l.couldNot(DataHolders, err)
		return nil
	}
	h.Unit, h.Installed = l.unit(), unit.path != ""
	l.view.Holders = h
	switch node := h.Node(); {
	case h.wrong() != "":
		l.wrong(DataHolders, h, "%s", h.wrong())
	case len(h.Hidden) > 0:
		l.couldNotWith(DataHolders, h, fmt.Errorf("%w: pid %d belongs to the owner of the data, and what it has open cannot be seen", errHidden, h.Hidden[0]))
	case node != nil && node.Unit == l.unit():
		l.sound(DataHolders, h, "running: %s", node)
	case node != nil:
		l.sound(DataHolders, h, "not running as %s; %s has the data open", l.unit(), node)
	case len(h.Processes) > 0:
		l.sound(DataHolders, h, "not running; %s reads the data", &h.Processes[0])
	default:
		l.sound(DataHolders, h, "not running")
	}
	return nil
}

var errHidden = errors.New("not all processes can be inspected")

// String names the process, by its unit if it has one.
func (p *Holder) String() string {
	name := cmp.Or(p.Unit, p.Command)
	if p.PID == 0 {
		return name
	}
	return fmt.Sprintf("%s, pid %d", name, p.PID)
}

// wrong says what is wrong, or "" for nothing.
func (h *Holders) wrong() string {
	if h.Removed {
		for i := range h.Processes {
			if p := &h.Processes[i]; p.Part == DatabaseKind && p.Writes && !p.Locks {
				return fmt.Sprintf("%s has locked a LOCK file that was removed: another writer could open the database", p)
			}
		}
	}
	for _, part := range []Kind{DatabaseKind, SnapshotKind} {
		var writers []string
		for i := range h.Processes {
			if p := &h.Processes[i]; p.Part == part && p.Writes {
				writers = append(writers, p.String())
			}
		}
		if len(writers) > 1 {
			return fmt.Sprintf("two writers of the %s: %s", part, strings.Join(writers, " and "))
		}
	}
	return ""
}

// target is a file of the data that a process may have open.
type target struct {
	part Kind
	path string // "" if it was removed
	// log is set for a file that a writer of the database keeps open for writing.
	log bool
}

// findHolders inspects all processes.
func findHolders(p *Place, unit string) (*Holders, error) {
	targets, err := targetsOf(p)
	if err != nil {
		return nil, err
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	s := &search{place: p, unit: unit, targets: targets, inodes: map[uint64]bool{}, found: &Holders{}}
	for id := range targets {
		s.inodes[id.Inode] = true
	}
	if s.lockPID, s.locked, err = lockHolder(p.Database); err != nil {
		return nil, err
	}
	owner := -1
	if info, err := os.Stat(p.Path); err == nil {
		owner = int(info.Sys().(*syscall.Stat_t).Uid)
	}
	for _, entry := range processes {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if err := s.process(pid, owner); err != nil {
			return nil, err
		}
	}
	if hidesProcesses() {
		return nil, fmt.Errorf("%w: /proc is mounted with hidepid", errHidden)
	}
	s.conclude()
	return s.found, nil
}

// hidesProcesses reports whether /proc shows this process only the processes of its own user.
func hidesProcesses() bool {
	if os.Geteuid() == 0 {
		return false
	}
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/proc" && strings.Contains(line, "hidepid=") &&
			!strings.Contains(line, "hidepid=0") && !strings.Contains(line, "hidepid=off") {
			return true
		}
	}
	return false
}

// targetsOf returns the files of the data by identity: those with its names, and those that
// unfinished prunes have displaced.
func targetsOf(p *Place) (map[ID]target, error) {
	targets := map[ID]target{}
	add := func(path string, t target) {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			t.path = path
			targets[ID{uint64(st.Dev), st.Ino}] = t
		}
	}
	add(p.Snapshots, target{part: SnapshotKind})
	left, err := swap.Left(p.Snapshots)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, path := range left {
		add(path, target{part: SnapshotKind})
	}
	info, err := os.Stat(p.Database)
	if err != nil || !info.IsDir() {
		return targets, nil
	}
	err = eachFile(p.Database, func(path string) error {
		add(path, target{part: DatabaseKind, log: isLog(filepath.Base(path))})
		return nil
	})
	return targets, err
}

// isLog reports whether a writer keeps a file of this name open for writing as long as it has
// the database open.
func isLog(name string) bool {
	log, _ := filepath.Match("*.log", name)
	manifest, _ := filepath.Match("MANIFEST-*", name)
	return log || manifest
}

// lockHolder asks which process has locked the database's LOCK file. The pid is 0 if that
// process cannot be seen from here.
func lockHolder(database string) (pid int, locked bool, err error) {
	fd, err := unix.Open(filepath.Join(database, "LOCK"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, &fs.PathError{Op: "open", Path: filepath.Join(database, "LOCK"), Err: err}
	}
	defer unix.Close(fd)
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &lock); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return 0, false, nil // it is not a file
		}
		return 0, false, &fs.PathError{Op: "query the lock on", Path: filepath.Join(database, "LOCK"), Err: err}
	}
	return max(0, int(lock.Pid)), lock.Type != unix.F_UNLCK, nil
}

// search is one inspection of all processes.
type search struct {
	place   *Place
	unit    string // the node's
	targets map[ID]target
	inodes  map[uint64]bool // of the targets
	lockPID int
	locked  bool
	found   *Holders
}

// process inspects a process. One that ends meanwhile has nothing open.
func (s *search) process(pid, owner int) error {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return nil
	}
	uid := int(info.Sys().(*syscall.Stat_t).Uid)
	dir, fds, err := descriptorsOf(pid, uid != owner)
	switch {
	case errors.Is(err, errEnded):
		return nil
	case errors.Is(err, fs.ErrPermission) && uid == owner:
		s.found.Hidden = append(s.found.Hidden, pid)
		return nil
	case errors.Is(err, fs.ErrPermission):
		s.found.Others++
		return nil
	case err != nil:
		return err
	}
	byPart := map[Kind]*Holder{}
	hold := func(part Kind) *Holder {
		if byPart[part] == nil {
			byPart[part] = &Holder{PID: pid, UID: uid, Command: commandOf(dir), Part: part}
		}
		return byPart[part]
	}
	for _, fd := range fds {
		s.descriptor(dir, fd.Name(), hold)
	}
	s.mappings(dir, hold)
	if len(byPart) > 0 && sharesMemory(pid) {
		return nil
	}
	for _, part := range []Kind{SnapshotKind, DatabaseKind} {
		if h := byPart[part]; h != nil {
			h.Unit = s.unitOf(dir, h.Command)
			h.Locks = part == DatabaseKind && s.locked && s.lockPID == pid
			h.Writes = h.Writes || h.Locks
			s.found.Processes = append(s.found.Processes, *h)
		}
	}
	return nil
}

// sharesMemory reports whether the process has the memory of this one: it is a child of ours
// that has not executed its program yet, and what it has open is open here. Where the kernel
// does not answer, it counts as another process.
func sharesMemory(pid int) bool {
	const kcmpVM = 1 // KCMP_VM in linux/kcmp.h
	differs, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(pid), kcmpVM, 0, 0, 0)
	return errno == 0 && differs == 0
}

// gone reports whether an error means that the process has ended.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// descriptor inspects one descriptor of a process.
func (s *search) descriptor(dir, fd string, hold func(Kind) *Holder) {
	name := dir + "/fd/" + fd
	leads, err := os.Readlink(name)
	if err != nil || !strings.HasPrefix(leads, "/") {
		return // a pipe or a socket
	}
	path, deleted := strings.CutSuffix(leads, " (deleted)")
	t, ok := s.lookUp(name)
	if !ok && deleted {
		t, ok = s.removed(dir, path)
	}
	if !ok {
		return
	}
	h := hold(t.part)
	writes := opensForWriting(dir, fd)
	if t.part == DatabaseKind {
		// A writer of the database has these open. A reader may have LOG open for writing.
		writes = writes && t.log
	}
	// A removed LOCK says most, whatever was opened before it.
	if h.Path == "" || writes && !h.Writes || deleted && filepath.Base(path) == "LOCK" {
		h.Path, h.Deleted = printable.Text(path), deleted
	}
	h.Writes = h.Writes || writes
}

// lookUp finds the target that a descriptor refers to. It does not touch the file, which might
// be on a server that does not answer: that would block for ever.
func (s *search) lookUp(name string) (target, bool) {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, name, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st) != nil {
		return target{}, false
	}
	id := ID{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}
	t, ok := s.targets[id]
	if !ok {
		return target{}, false
	}
	// A node removes files all the time, and new files reuse their inode numbers.
	now, there := idAt(t.path)
	return t, there && now == id
}

// removed reports whether a deleted file was part of the data. The path is as the process
// sees it, which may have other mounts.
func (s *search) removed(dir, path string) (target, bool) {
	in := func(folder string) bool {
		if same(dir+"/root"+filepath.Dir(path), folder) {
			return true
		}
		// The folder itself may have been removed, and made again since.
		return filepath.Base(filepath.Dir(path)) == filepath.Base(folder) &&
			same(dir+"/root"+filepath.Dir(filepath.Dir(path)), filepath.Dir(folder))
	}
	name := filepath.Base(path)
	switch {
	case in(s.place.Database):
		return target{part: DatabaseKind, log: isLog(name) || name == "LOCK"}, true
	case name == filepath.Base(s.place.Snapshots) && in(filepath.Dir(s.place.Snapshots)):
		return target{part: SnapshotKind}, true
	}
	return target{}, false
}

// same reports whether two paths lead to the same file or folder.
func same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// opensForWriting reports whether a descriptor was opened for writing.
func opensForWriting(dir, fd string) bool {
	text, err := os.ReadFile(dir + "/fdinfo/" + fd)
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), "flags:")
	line, _, _ := strings.Cut(rest, "\n")
	flags, err := strconv.ParseUint(strings.TrimSpace(line), 8, 64)
	return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY && flags&unix.O_PATH == 0
}

// mappings inspects the files that a process has mapped.
func (s *search) mappings(dir string, hold func(Kind) *Holder) {
	text, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		// 7f0000-7f1000 rw-s 00000000 08:01 1234    /path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			continue
		}
		inode, err := strconv.ParseUint(fields[4], 10, 64)
		if err != nil || !s.inodes[inode] {
			continue
		}
		t, ok := s.lookUp(dir + "/map_files/" + fields[0])
		if !ok {
			continue
		}
		h := hold(t.part)
		_, path, _ := strings.Cut(lines.Text(), "/")
		h.Path = cmp.Or(h.Path, printable.Text("/"+path))
		h.Writes = h.Writes || t.part == SnapshotKind && strings.HasPrefix(fields[1][1:], "w") && fields[1][3] == 's'
	}
}

// commandOf returns the name of a process.
func commandOf(dir string) string {
	name, _ := os.ReadFile(dir + "/comm")
	return printable.Text(strings.TrimSpace(string(name)))
}

// unitOf returns the systemd service that a process belongs to. If it belongs to none, as in a
// container, a process that has the name of the node's unit counts as the node.
func (s *search) unitOf(dir, command string) string {
	text, _ := os.ReadFile(dir + "/cgroup")
	for line := range strings.Lines(string(text)) {
		// 0::/system.slice/ailee-node.service
		for _, part := range slices.Backward(strings.Split(strings.TrimSpace(line), "/")) {
			if strings.HasSuffix(part, ".service") && !strings.HasPrefix(part, "user@") {
				return part
			}
		}
	}
	name := strings.TrimSuffix(s.unit, ".service")
	if name = name[:min(len(name), maxCommand)]; command == name || command == strings.ReplaceAll(name, "-", "_") {
		return s.unit
	}
	return ""
}

// maxCommand is how many bytes of a process's name the kernel keeps.
const maxCommand = 15

// conclude adds a holder of the lock that cannot be seen from here, and counts writers.
func (s *search) conclude() {
	h := s.found
	slices.SortFunc(h.Processes, func(a, b Holder) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Part, b.Part))
	})
	seen := slices.ContainsFunc(h.Processes, func(p Holder) bool { return p.Locks })
	if s.locked && !seen {
		h.Processes = append(h.Processes, Holder{PID: s.lockPID, Command: s.unseen(), Part: DatabaseKind, Path: filepath.Join(s.place.Database, "LOCK"), Writes: true, Locks: true})
	}
	for _, p := range h.Processes {
		if p.Part != DatabaseKind || !p.Writes {
			continue
		}
		h.Writers++
		h.Removed = h.Removed || !p.Locks
	}
}

// unseen names a process that holds the lock but of which nothing else can be seen.
func (s *search) unseen() string {
	if s.lockPID == 0 {
		return "a process in another container"
	}
	return cmp.Or(commandOf(fmt.Sprintf("/proc/%d", s.lockPID)), "a process")
}
