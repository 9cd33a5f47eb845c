package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/packed"
	"ailee-recovery/reorgdb"
)

// refusal is a reason why nothing is replaced.
type refusal struct {
	code  int
	err   error
	hints []string
}

// refuse records a reason why a part is not replaced. The same reason is reported only once.
func (r *restoring) refuse(t *target, code int, hint, format string, args ...any) {
	t.decision, t.code = refused, max(t.code, code)
	r.refuseAll(code, hint, format, args...)
}

// refuseAll records a reason why nothing at all is replaced.
func (r *restoring) refuseAll(code int, hint, format string, args ...any) {
	found := refusal{code: code, err: fmt.Errorf(format, args...)}
	if hint != "" {
		found.hints = []string{hint}
	}
	for _, known := range r.refusals {
		if known.err.Error() == found.err.Error() {
			return
		}
	}
	r.refusals = append(r.refusals, found)
}

// view checks facts about the data directory.
func (r *restoring) view(ctx context.Context, codes ...datadir.Code) (*datadir.View, error) {
	return datadir.Look(ctx, datadir.Options{DataDir: r.DataDir, BackupDir: r.BackupDir, Codes: codes, Now: r.out.Now})
}

// askHolders refuses if a process has the file or the database open, under any path.
func (r *restoring) askHolders(v *datadir.View) {
	if f := v.Fact(datadir.DataHolders); f != nil && f.State == datadir.CouldNot && v.Holders == nil {
		r.refuseAll(exit.Failed, "run it as root", "the processes that have the data open cannot be seen: %w", f.Err)
		return
	}
	if v.Holders == nil {
		return
	}
	said := map[int]bool{}
	for _, part := range []datadir.Kind{datadir.DatabaseKind, datadir.SnapshotKind} {
		for i := range v.Holders.Processes {
			p := &v.Holders.Processes[i]
			if p.Part == part && !said[p.PID] {
				said[p.PID] = true
				r.refuseAll(exit.Failed, stopHint(p), "%s is in use by %s%s", r.removedName(p), holderName(p), r.asPath(p))
			}
		}
	}
	for _, pid := range v.Holders.Hidden {
		r.refuseAll(exit.Failed, "run it as root", "pid %d belongs to the owner of the data, and its open files cannot be seen", pid)
	}
}

// removedName names the part that a process has open, and says if that file was removed.
func (r *restoring) removedName(p *datadir.Holder) string {
	name := databaseName
	if p.Part == datadir.SnapshotKind {
		name = r.all[0].name
	}
	if p.Deleted {
		name += ", which was removed,"
	}
	return name
}

func holderName(p *datadir.Holder) string {
	if p.PID == 0 {
		return "a process that cannot be seen from here"
	}
	return fmt.Sprintf("%s (pid %d)", terminal.Text(p.Command), p.PID)
}

// asPath says under which path a process has a part open, if that is not the usual one.
func (r *restoring) asPath(p *datadir.Holder) string {
	known, path := r.place.Snapshots, p.Path
	if p.Part == datadir.DatabaseKind {
		known, path = r.place.Database, filepath.Dir(p.Path)
	}
	if p.Path == "" || p.Deleted || path == known {
		return ""
	}
	return " as " + terminal.Text(path)
}

// stopHint says how to stop a process that has the data open.
func stopHint(p *datadir.Holder) string {
	switch {
	case p.Unit != "": // reorg_db, or l2_snapshots.dat, is in use by a unit
		return exit.Command("systemctl", "stop", strings.TrimSuffix(p.Unit, ".service"))
	case p.PID == 0: // reorg_db is in use by a process that cannot be seen from here
		return "stop the node first: systemctl stop ailee-node"
	}
	return exit.Command("kill", fmt.Sprint(p.PID)) // reorg_db, or l2_snapshots.dat, is in use by a process
}

// askPlaces refuses a part that cannot be moved.
func (r *restoring) askPlaces(t *target, v *datadir.View) {
	if f := v.Fact(datadir.DataMount); f != nil && f.State == datadir.CouldNot {
		r.refuse(t, exit.Failed, durable.Hint(f.Err), "mounts and attributes cannot be checked: %w", f.Err)
	}
	if v.Mounts == nil {
		return
	}
	for _, m := range v.Mounts.Found {
		if !t.concerns(m, r.place) {
			continue
		}
		path := terminal.Text(durable.Shown(m.Path))
		switch m.Kind {
		case datadir.ReadOnly:
			r.refuse(t, exit.Failed, exit.Command("mount", "-o", "remount,rw", m.Point)+", after checking dmesg", "%s is on a file system that is mounted read-only", path)
		case datadir.Immutable:
			r.refuse(t, exit.Failed, exit.Command("chattr", "-i", m.Path), "%s is immutable", path)
		case datadir.AppendOnly:
			r.refuse(t, exit.Failed, exit.Command("chattr", "-a", m.Path)+", and +a again afterwards", "%s is append-only", path)
		case datadir.OwnMount:
			r.refuse(t, exit.Failed, "mount its parent folder instead, or restore with another --data-dir and copy the files",
				"%s is a mount point, which cannot be replaced", path)
		case datadir.MountedBy:
			r.refuse(t, exit.Failed, "stop what uses that mount, or mount the folder instead", "%s is also mounted by itself, at %s: whatever uses that mount would keep the old data", path, m.Point)
		}
	}
}

// concerns reports whether a problem with a path is in the way of replacing the part: the path
// is the part, a file in it, or a folder that it is in.
func (t *target) concerns(m datadir.Mounted, place *datadir.Place) bool {
	part := place.Snapshots
	if t.isDatabase() {
		part = place.Database
	}
	return m.Path == part || strings.HasPrefix(m.Path, part+"/") || m.Path == place.Path || m.Path == filepath.Dir(part)
}

// askName refuses if the name under which the old data is to be kept is taken.
func (r *restoring) askName(t *target) {
	if t.inode == 0 {
		return
	}
	kept := keptName(t.base(), r.stamp)
	if _, err := os.Lstat(t.folder() + "/" + kept); err == nil {
		r.refuse(t, exit.Failed, "run it again: the name has the time in it", "%s already exists", t.at(kept))
	}
}

// askSpace refuses if it is clear beforehand that there is too little space for the
// replacements. It checks the parts together: they may be on one file system.
func (r *restoring) askSpace(parts []*target) {
	needed := map[uint64]uint64{}
	for _, t := range parts {
		var stat unix.Stat_t
		if unix.Stat(t.folder(), &stat) != nil {
			continue
		}
		device := uint64(stat.Dev)
		needed[device] += r.leastSize(t)
		free, err := freeIn(t.folder())
		if err == nil && free < needed[device] {
			r.refuse(t, exit.Failed, "see what can go: "+r.doctor(), "%s free in %s, %s needed", bytesText(free), terminal.Text(durable.Shown(t.folder())), bytesText(needed[device]))
		}
	}
}

// leastSize returns how much space the smallest of the sources takes at least, in bytes; 0 if
// that is not known.
func (r *restoring) leastSize(t *target) uint64 {
	if t.file != nil {
		if form, err := packed.FormOf(t.file); err == nil && form == packed.Plain {
			if info, err := t.file.Stat(); err == nil {
				return uint64(info.Size())
			}
		}
		return 0
	}
	if t.named != "" || r.backups == nil {
		return 0
	}
	least, first := int64(0), true
	for _, b := range r.backups.Of(t.kind) {
		size := b.ContentSize
		if name, ok := backups.ParseName(b.Name); ok && size == 0 && name.Form == backups.Plain {
			size = b.Size
		}
		if first || size < least {
			least, first = size, false
		}
	}
	return uint64(least)
}

// freeIn returns the space that is free for this user in a folder, in bytes.
func freeIn(folder string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, err
	}
	blocks := stat.Bavail
	if os.Geteuid() == 0 {
		blocks = stat.Bfree
	}
	return blocks * uint64(stat.Bsize), nil
}

func bytesText(n uint64) string { return humanize.IBytes(n) }

// lock holds the lock of a database until the run ends.
func (r *restoring) lock(folder string, make bool) error {
	f, err := lockDatabase(folder, make)
	if f != nil {
		r.locks = append(r.locks, f)
	}
	return err
}

// askLock refuses if a node has the lock of the database in a folder.
func (r *restoring) askLock(folder string) {
	err := r.lock(folder, false)
	var held *reorgdb.LockedError
	switch {
	case err == nil, errors.Is(err, unix.ENOTDIR):
	case errors.As(err, &held) && held.PID != 0:
		r.refuseAll(exit.Failed, exit.Command("kill", fmt.Sprint(held.PID)), "%s is in use by %s (pid %d)", databaseName, terminal.Text(held.Process), held.PID)
	case errors.As(err, &held):
		r.refuseAll(exit.Failed, "stop the node first: systemctl stop ailee-node", "%s is in use by another process", databaseName)
	default:
		r.refuseAll(exit.Failed, durable.Hint(err), "the lock of %s cannot be taken: %w", databaseName, err)
	}
}
