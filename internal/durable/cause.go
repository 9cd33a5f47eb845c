package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/exit"
)

// pathOf returns the absolute path in a system error, "" for none.
func pathOf(err error) string {
	var failed *fs.PathError
	var link *os.LinkError
	path := ""
	switch {
	case errors.As(err, &failed):
		path = failed.Path
	case errors.As(err, &link):
		path = link.New
	}
	if path == "" || strings.ContainsRune(path, 0) {
		return ""
	}
	path, err = filepath.Abs(Shown(path))
	if err != nil {
		return ""
	}
	return path
}

// folderOf returns the path in a system error if it is a folder, or else its nearest parent folder
// that exists and stays: a run that fails removes its temporary folders.
func folderOf(err error) string {
	path := pathOf(err)
	if path == "" {
		return "."
	}
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() || path == "/" {
			break
		}
		path = filepath.Dir(path)
	}
	for above := path; above != filepath.Dir(above); above = filepath.Dir(above) {
		if isOwn(filepath.Base(above)) {
			path = filepath.Dir(above)
		}
	}
	return path
}

// isOwn reports whether a name is one that the tools give to a temporary file or folder.
func isOwn(name string) bool {
	return strings.HasPrefix(name, ".") && (strings.Contains(name, ".ailee-") || strings.Contains(name, ".ailee_"))
}

// readOnlyHint returns the hint for a read-only file system.
func readOnlyHint(err error) string {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	groups, _ := os.ReadFile("/proc/self/cgroup")
	return readOnlyHintFor(string(table), string(groups), folderOf(err))
}

// readOnlyHintFor returns the hint for a folder, given the mountinfo and cgroup files of this
// process.
func readOnlyHintFor(table, groups, folder string) string {
	at, alone := readOnlyMount(table, folder)
	switch unit := unitIn(groups); {
	case alone && unit != "": // read-only file system: the systemd unit may not write there
		return "the unit may not write there: " + exit.Command("systemctl", "edit", unit) + ", and add under [Service]: ReadWritePaths=" + folder
	case alone: // read-only file system: it is read-only only in this container or sandbox
		return fmt.Sprintf("this process may not write there, while others may: let its container or sandbox write to %s", folder)
	}
	return "the file system is read-only, perhaps after a disk error: see dmesg --level=err; then " + exit.Command("mount", "-o", "remount,rw", at) // read-only file system
}

// readOnlyMount returns the mount point of a path, and whether only that mount is read-only and
// not the file system, as for systemd units with ProtectSystem=. table is a mountinfo file (see
// proc_pid_mountinfo(5)).
func readOnlyMount(table, path string) (at string, alone bool) {
	at = "/"
	for line := range strings.Lines(table) {
		// 36 35 98:0 /root /point ro,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue
		own, ofFileSystem, ok := strings.Cut(line, " - ")
		fields, super := strings.Fields(own), strings.Fields(ofFileSystem)
		if !ok || len(fields) < 6 || len(super) < 3 {
			continue
		}
		point := Unescape(fields[4])
		if rest, within := strings.CutPrefix(path, strings.TrimSuffix(point, "/")); !within || rest != "" && rest[0] != '/' || len(point) < len(at) {
			continue
		}
		at, alone = point, isReadOnly(fields[5]) && !isReadOnly(super[2])
	}
	return at, alone
}

func isReadOnly(options string) bool { return options == "ro" || strings.HasPrefix(options, "ro,") }

// unitIn returns the systemd service in a cgroup file, "" for none.
func unitIn(groups string) string {
	for line := range strings.Lines(groups) {
		if unit := filepath.Base(strings.TrimSpace(line)); strings.HasSuffix(unit, ".service") && strings.Contains(line, "/system.slice/") {
			return unit
		}
	}
	return ""
}

// mayNotHint returns the hint for a permission error.
func mayNotHint(err error) string {
	switch {
	case became.user != "": // permission denied, where root works as the user of the folder
		return fmt.Sprintf("run as root, it works as the user %s, who owns %s: give that user access with chown, or move the file where only root may write",
			became.user, became.folder)
	case os.Geteuid() == 0: // permission denied, to root
		return "even root may not: look for attributes with lsattr, a network file system that maps root to nobody, or dropped capabilities"
	}
	barrier, owner := barrierTo(pathOf(err))
	if barrier == "" { // permission denied, where the owner is not known
		return "run it as the owner of the folder, or as root"
	}
	above := filepath.Dir(barrier)
	if uid, err := uidOf(above); owner == 0 && err == nil && uid == os.Geteuid() { // permission denied: a file of root's in a folder of this user
		return fmt.Sprintf("%s belongs to root: give it to the owner of its folder, as root: ", barrier) + exit.Command("chown", "-R", "--reference="+above, barrier)
	}
	return fmt.Sprintf("%s belongs to %s: run it as that user, or as root", barrier, userName(owner)) // permission denied
}

// barrierTo returns the first thing on a path that this process may not use as it would have to,
// and its owner: a folder that it may not search, the file at the path if it may not read and
// write that, or else the folder in which the file was to be made.
func barrierTo(path string) (barrier string, owner int) {
	if path == "" {
		return "", 0
	}
	for at := path; at != "/"; at = filepath.Dir(at) {
		uid, err := uidOf(at)
		if err != nil {
			continue // it is missing, or the folder above may not be searched
		}
		if at == path && unix.Access(at, unix.R_OK|unix.W_OK) == nil {
			continue // it is not the barrier: check its folder
		}
		return at, uid
	}
	return "", 0
}

func uidOf(path string) (int, error) {
	var stat unix.Stat_t
	err := unix.Stat(path, &stat)
	return int(stat.Uid), err
}

// userName returns the name of a user, or its number if it has no name.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Unescape decodes a path in a mount table.
func Unescape(path string) string { return unescape.Replace(path) }
