package filesystems

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const failingName = "failing"

// failing LOWER MOUNTPOINT CALL ERRNO is a file system that passes everything on to a folder, except
// for one call, which always fails. It ends on SIGTERM.
func failing() {
	errno, err := strconv.Atoi(os.Args[4])
	if err == nil {
		err = serveFailing(os.Args[1], os.Args[2], os.Args[3], syscall.Errno(errno))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveFailing(lower, mountPoint, call string, errno syscall.Errno) error {
	var stat syscall.Stat_t
	if err := syscall.Stat(lower, &stat); err != nil {
		return err
	}
	root := &fs.LoopbackRoot{Path: lower, Dev: uint64(stat.Dev)}
	top := &node{LoopbackNode: &fs.LoopbackNode{RootData: root}, call: call, errno: errno}
	root.RootNode = top
	server, err := fs.Mount(mountPoint, top, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, AllowOther: true, FsName: "failing", Name: "failing"}})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	return server.Unmount()
}

// node is a file or folder of the file system.
type node struct {
	*fs.LoopbackNode
	call  string
	errno syscall.Errno
}

func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: child.(*fs.LoopbackNode), call: n.call, errno: n.errno}
}

func (n *node) fails(call string) bool { return n.call == call }

func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if flags != 0 && n.fails("rename flags") {
		return n.errno
	}
	return n.LoopbackNode.Rename(ctx, name, parent, to, flags)
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if n.fails("link") {
		return nil, n.errno
	}
	return n.LoopbackNode.Link(ctx, target, name, out)
}

func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	_, mode := in.GetMode()
	_, uid := in.GetUID()
	_, gid := in.GetGID()
	if mode && n.fails("chmod") || (uid || gid) && n.fails("chown") {
		return n.errno
	}
	return n.LoopbackNode.Setattr(ctx, f, in, out)
}

func (n *node) CopyFileRange(ctx context.Context, in fs.FileHandle, offIn uint64, to *fs.Inode, out fs.FileHandle, offOut, length, flags uint64) (uint32, syscall.Errno) {
	if n.fails("copy_file_range") {
		return 0, n.errno // it may be 0, which is also a result
	}
	return n.LoopbackNode.CopyFileRange(ctx, in, offIn, to, out, offOut, length, flags)
}

func (n *node) Setxattr(ctx context.Context, name string, data []byte, flags uint32) syscall.Errno {
	if n.fails("setxattr") {
		return n.errno
	}
	return n.LoopbackNode.Setxattr(ctx, name, data, flags)
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, flags, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 || !n.fails("fsync of a folder") {
		return handle, flags, errno
	}
	return &folder{handle.(opened), n.errno}, flags, errno
}

type opened interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
}

// folder is an open folder that cannot be synced.
type folder struct {
	opened
	errno syscall.Errno
}

func (f *folder) Fsyncdir(context.Context, uint32) syscall.Errno { return f.errno }

func (n *node) Fsync(_ context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if n.fails("fsync") {
		return n.errno
	}
	file, ok := f.(fs.FileFsyncer)
	if !ok {
		return unix.ENOSYS
	}
	return file.Fsync(context.Background(), flags)
}
