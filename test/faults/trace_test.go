package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call is a system call that is about to change something below the traced folder.
type call struct {
	name, path string
	tid        int
	args       [6]uint64
	place
}

// A place says which arguments of a call name what it changes, by number, -1 for none.
type place struct {
	fd, dir, path int
	size          int // the number of bytes to write
}

func file(fd int) place           { return place{fd, -1, -1, -1} }
func data(fd, size int) place     { return place{fd, -1, -1, size} }
func named(path int) place        { return place{-1, -1, path, -1} }
func namedIn(dir, path int) place { return place{-1, dir, path, -1} }

// calls has the calls that change what is on a disk, sync it, or keep other processes out.
var calls = map[uint64]call{
	unix.SYS_WRITE:           {name: "write", place: data(0, 2)},
	unix.SYS_PWRITE64:        {name: "pwrite64", place: data(0, 2)},
	unix.SYS_WRITEV:          {name: "writev", place: file(0)},
	unix.SYS_PWRITEV:         {name: "pwritev", place: file(0)},
	unix.SYS_COPY_FILE_RANGE: {name: "copy_file_range", place: data(2, 4)},
	unix.SYS_SENDFILE:        {name: "sendfile", place: data(0, 3)},
	unix.SYS_FTRUNCATE:       {name: "ftruncate", place: file(0)},
	unix.SYS_FALLOCATE:       {name: "fallocate", place: file(0)},
	unix.SYS_FSYNC:           {name: "fsync", place: file(0)},
	unix.SYS_FDATASYNC:       {name: "fdatasync", place: file(0)},
	unix.SYS_SYNCFS:          {name: "syncfs", place: file(0)},
	unix.SYS_SYNC_FILE_RANGE: {name: "sync_file_range", place: file(0)},
	unix.SYS_FCHMOD:          {name: "fchmod", place: file(0)},
	unix.SYS_FCHOWN:          {name: "fchown", place: file(0)},
	unix.SYS_FSETXATTR:       {name: "fsetxattr", place: file(0)},
	unix.SYS_CLOSE:           {name: "close", place: file(0)},
	unix.SYS_FCNTL:           {name: "fcntl", place: file(0)},
	unix.SYS_OPEN:            {name: "open", place: named(0)},
	unix.SYS_OPENAT:          {name: "openat", place: namedIn(0, 1)},
	unix.SYS_CREAT:           {name: "creat", place: named(0)},
	unix.SYS_RENAME:          {name: "rename", place: named(1)},
	unix.SYS_RENAMEAT:        {name: "renameat", place: namedIn(2, 3)},
	unix.SYS_RENAMEAT2:       {name: "renameat2", place: namedIn(2, 3)},
	unix.SYS_LINK:            {name: "link", place: named(1)},
	unix.SYS_LINKAT:          {name: "linkat", place: namedIn(2, 3)},
	unix.SYS_SYMLINK:         {name: "symlink", place: named(1)},
	unix.SYS_SYMLINKAT:       {name: "symlinkat", place: namedIn(1, 2)},
	unix.SYS_UNLINK:          {name: "unlink", place: named(0)},
	unix.SYS_UNLINKAT:        {name: "unlinkat", place: namedIn(0, 1)},
	unix.SYS_RMDIR:           {name: "rmdir", place: named(0)},
	unix.SYS_MKDIR:           {name: "mkdir", place: named(0)},
	unix.SYS_MKDIRAT:         {name: "mkdirat", place: namedIn(0, 1)},
	unix.SYS_TRUNCATE:        {name: "truncate", place: named(0)},
	unix.SYS_CHMOD:           {name: "chmod", place: named(0)},
	unix.SYS_FCHMODAT:        {name: "fchmodat", place: namedIn(0, 1)},
	unix.SYS_FCHMODAT2:       {name: "fchmodat2", place: namedIn(0, 1)},
	unix.SYS_CHOWN:           {name: "chown", place: named(0)},
	unix.SYS_LCHOWN:          {name: "lchown", place: named(0)},
	unix.SYS_FCHOWNAT:        {name: "fchownat", place: namedIn(0, 1)},
	unix.SYS_UTIMENSAT:       {name: "utimensat", place: namedIn(0, 1)},
}

// A fault is what happens to a call. With the zero fault the call is carried out.
type fault struct {
	kill  bool          // kill the command with all its processes before the call
	alone bool          // with kill: kill only the process that makes the call
	errno syscall.Errno // make the call fail without carrying it out, except for a close
	short bool          // make it write half of what it should write
}

// tracing follows all threads and processes of a command. strace(1) counts calls per thread, so that
// its when=k is a different call in each run, and it cannot make a write short that is carried out.
type tracing struct {
	calls   map[uint64]call
	below   string
	at      func(call) fault
	returns map[int]syscall.Errno // by thread: the error that its call will return
	known   map[int]bool          // the threads
	killed  bool
}

// trace runs a command and calls at for each call that changes something below a folder, to decide what
// happens to it. It returns how the command ended, when all its processes have ended. While at decides,
// the thread that makes the call waits and the others continue.
func trace(ctx context.Context, args, env []string, out, errOut *os.File, folder string, at func(call) fault) (status syscall.WaitStatus, err error) {
	return traceCalls(ctx, calls, args, env, out, errOut, folder, at)
}

// traceCalls is trace for the given system calls, by number.
func traceCalls(ctx context.Context, calls map[uint64]call, args, env []string, out, errOut *os.File, folder string, at func(call) fault) (status syscall.WaitStatus, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Only the thread that starts a command may trace it. The thread must not end with this
		// goroutine: commands that were started on it before, to end with the tests, would end, too.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		t := &tracing{calls: calls, below: folder, at: at, returns: map[int]syscall.Errno{}, known: map[int]bool{}}
		var root int
		root, err = syscall.ForkExec(args[0], args, &syscall.ProcAttr{
			Env:   env,
			Files: []uintptr{0, out.Fd(), errOut.Fd()},
			Sys:   &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
		})
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = unix.Kill(root, unix.SIGKILL) })
			status, err = t.follow(root)
			stop()
		}
	}()
	<-done
	return status, errors.Join(err, ctx.Err())
}

func (t *tracing) follow(root int) (status syscall.WaitStatus, err error) {
	for first := true; ; first = false {
		var ws syscall.WaitStatus
		// Only for this process group: other commands may have been started on this thread before.
		tid, err := syscall.Wait4(-root, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return status, nil
		case err != nil:
			return status, err
		case ws.Exited() || ws.Signaled():
			delete(t.known, tid)
			if tid == root {
				status = ws
			}
			continue
		}
		if first {
			err = unix.PtraceSetOptions(tid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|
				unix.PTRACE_O_TRACEVFORK|unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL)
		}
		signal := ws.StopSignal()
		switch {
		case signal == unix.SIGTRAP|0x80:
			signal = 0
			err = t.stopped(tid)
		case signal == unix.SIGTRAP, signal == unix.SIGSTOP && !t.known[tid]:
			signal = 0 // of the tracing itself
		}
		t.known[tid] = true
		if t.killed {
			// The oldest first: no process must notice how another one ended.
			for _, tid := range slices.Sorted(maps.Keys(t.known)) {
				_ = unix.Kill(tid, unix.SIGKILL)
			}
		} else if err == nil {
			err = unix.PtraceSyscall(tid, int(signal))
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // killed meanwhile
			return status, err
		}
	}
}

// syscallInfo is struct ptrace_syscall_info.
type syscallInfo struct {
	op   uint8 // 1 before the call, 2 after it
	_    [23]byte
	nr   uint64
	args [6]uint64
	_    [8]byte
}

// stopped handles a thread that is before or after a system call.
func (t *tracing) stopped(tid int) error {
	const getSyscallInfo = 0x420e
	var info syscallInfo
	var regs unix.PtraceRegs
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); errno != 0 {
		return errno
	}
	if errno := t.returns[tid]; info.op == 2 && errno != 0 {
		delete(t.returns, tid)
		err := unix.PtraceGetRegs(tid, &regs)
		regs.Rax = -uint64(errno)
		return errors.Join(err, unix.PtraceSetRegs(tid, &regs))
	}
	c, ok := t.changes(tid, info)
	if info.op != 1 || t.killed || !ok {
		return nil
	}
	f := t.at(c)
	switch {
	case f.alone:
		return unix.Kill(tid, unix.SIGKILL)
	case f.kill:
		// The kernel does not carry out the call of a thread that is killed here.
		t.killed = true
		return nil
	case f == fault{}:
		return nil
	}
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	if f.short {
		size := []*uint64{&regs.Rdi, &regs.Rsi, &regs.Rdx, &regs.R10, &regs.R8, &regs.R9}[c.size]
		*size = (c.args[c.size] + 1) / 2
	} else {
		t.returns[tid] = f.errno
		if c.name != "close" {
			regs.Orig_rax = ^uint64(0)
		}
	}
	return unix.PtraceSetRegs(tid, &regs)
}

// changes reports whether a call changes something below the folder.
func (t *tracing) changes(tid int, info syscallInfo) (call, bool) {
	c, ok := t.calls[info.nr]
	if !ok {
		return c, false
	}
	c.tid, c.args = tid, info.args
	switch c.name {
	case "open", "openat":
		if c.args[c.place.path+1]&(unix.O_ACCMODE|unix.O_CREAT|unix.O_TRUNC) == 0 {
			return c, false
		}
	case "fcntl":
		if c.args[1] != unix.F_SETLEASE {
			return c, false
		}
	case "sync_file_range":
		if c.args[3] == 0 { // only checks that the call exists
			return c, false
		}
	case "close":
		if !openForWriting(tid, c.args[0]) {
			return c, false
		}
	case "copy_file_range":
		c.args[c.size] = min(c.args[c.size], c.left(0, 1))
	case "sendfile":
		c.args[c.size] = min(c.args[c.size], c.left(1, 2))
	}
	if c.fd >= 0 {
		c.path = link(tid, fmt.Sprintf("fd/%d", int32(c.args[c.fd])))
	} else if c.path = c.pathArgument(); !filepath.IsAbs(c.path) {
		dir := "cwd"
		if c.dir >= 0 && int32(c.args[c.dir]) != unix.AT_FDCWD {
			dir = fmt.Sprintf("fd/%d", int32(c.args[c.dir]))
		}
		c.path = filepath.Join(link(tid, dir), c.path)
	}
	c.path, ok = strings.CutPrefix(c.path, t.below+"/")
	return c, ok
}

func link(tid int, what string) string {
	to, _ := os.Readlink(fmt.Sprintf("/proc/%d/%s", tid, what))
	return to
}

// inode identifies a file, whatever its name.
type inode struct{ device, number uint64 }

// inode returns the file that the call changes.
func (c call) inode() inode {
	var stat unix.Stat_t
	_ = unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", c.tid, int32(c.args[c.fd])), &stat)
	return inode{stat.Dev, stat.Ino}
}

func openForWriting(tid int, fd uint64) bool {
	_, flags := descriptor(tid, fd)
	return flags&unix.O_ACCMODE != 0
}

func descriptor(tid int, fd uint64) (position int64, flags int) {
	info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", tid, int32(fd)))
	_, _ = fmt.Sscanf(string(info), "pos:\t%d\nflags:\t%o", &position, &flags)
	return position, flags
}

// left returns how many bytes of a file are left to copy. fd and position are the numbers of the
// arguments with the file, and with the address of the position unless it is in the descriptor.
func (c call) left(fd, position int) uint64 {
	var stat unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", c.tid, int32(c.args[fd])), &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return math.MaxInt64
	}
	at, _ := descriptor(c.tid, c.args[fd])
	if address := c.args[position]; address != 0 {
		var number [8]byte
		_ = c.memory(address, number[:])
		at = int64(binary.NativeEndian.Uint64(number[:]))
	}
	return uint64(max(0, stat.Size-at))
}

// pathArgument reads the path from the memory of the process.
func (c call) pathArgument() string {
	text := make([]byte, unix.PathMax)
	path, _, _ := strings.Cut(string(text[:c.memory(c.args[c.place.path], text)]), "\x00")
	return path
}

// memory reads from the memory of the process at an address, as much as there is.
func (c call) memory(address uint64, to []byte) int {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", c.tid))
	if err != nil {
		return 0
	}
	defer f.Close()
	n, _ := io.ReadFull(io.NewSectionReader(f, int64(address), int64(len(to))), to)
	return n
}
