package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"ailee-recovery/internal/durable"
)

// lookOwner checks data-owner.
func (l *looker) lookOwner() {
	p := l.view.Place
	o, account, err := l.nodeUser()
	if err != nil {
		l.couldNot(DataOwner, err)
		return
	}
	// Rights to read, write and, for a folder, search it.
	const folder, file = 7, 6
	check := func(path string, rights uint32) error {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // that is another fact, or it was removed meanwhile
		}
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		list, err := accessOf(path, st)
		if err != nil || account.may(st, list, rights) {
			return err
		}
		o.add(path, st, rights)
		return nil
	}
	err = check(p.Path, folder)
	if err == nil {
		err = check(p.Snapshots, file)
	}
	if info, statErr := os.Stat(p.Database); err == nil && statErr == nil && info.IsDir() {
		if err = check(p.Database, folder); err == nil {
			err = eachFile(p.Database, func(path string) error { return check(path, file) })
		}
	}
	l.view.Owners = o
	switch {
	case err != nil:
		l.view.Owners = nil
		l.couldNot(DataOwner, err)
	case o.Count > 0:
		first := o.Wrong[0]
		text := fmt.Sprintf("%s is %s: %s cannot read and write it", first.Path, first.Has, o.User)
		if o.Count > 1 {
			text += fmt.Sprintf(", nor %d others", o.Count-1)
		}
		l.wrong(DataOwner, o, "%s", text)
	default:
		l.sound(DataOwner, o, "%s can read and write all of it", o.User)
	}
}

// eachFile visits the regular files in the database's folder.
func eachFile(dir string, visit func(path string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		if err := visit(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// add adds a file, with the smallest change that lets the node's user read and write it.
func (o *Owners) add(path string, st *syscall.Stat_t, rights uint32) {
	o.Count++
	if len(o.Wrong) == MaxListed {
		return
	}
	mode := st.Mode & 0o7777
	d := Denied{Path: path, Has: shown(int(st.Uid), int(st.Gid), mode), UID: o.UID, GID: o.GID, Mode: mode | rights<<6}
	d.ByOwner = int(st.Uid) != o.UID
	d.ByMode = d.Mode != mode
	d.Want = shown(d.UID, d.GID, d.Mode)
	o.Wrong = append(o.Wrong, d)
}

// nodeUser finds the node's user: the user of its unit, or else the owner of the data
// directory.
func (l *looker) nodeUser() (*Owners, account, error) {
	o := &Owners{}
	switch unit, err := readUnit(l.unit()); {
	case err != nil:
		return nil, account{}, err
	case unit.user != "":
		uid, gid, err := unit.ids()
		if err != nil {
			return nil, account{}, err
		}
		o.UID, o.GID, o.FromUnit = uid, gid, true
	case unit.path != "":
		o.FromUnit = true // without User= the node runs as root
	default:
		info, err := os.Stat(l.view.Place.Path)
		if err != nil {
			return nil, account{}, err
		}
		st := info.Sys().(*syscall.Stat_t)
		o.UID, o.GID = int(st.Uid), int(st.Gid)
	}
	o.User = nameOf(o.UID, o.GID)
	return o, accountOf(o.UID, o.GID), nil
}

// ids returns the ids of the user and group that a unit names.
func (u unitFile) ids() (uid, gid int, err error) {
	found, err := user.Lookup(u.user)
	if err != nil {
		if found, err = user.LookupId(u.user); err != nil {
			return 0, 0, fmt.Errorf("%s: the user %q of the unit: %w", u.path, u.user, err)
		}
	}
	uid, _ = strconv.Atoi(found.Uid)
	gid, _ = strconv.Atoi(found.Gid)
	if u.group == "" {
		return uid, gid, nil
	}
	owner, err := durable.ParseOwner(found.Uid + ":" + u.group)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: the group %q of the unit: %w", u.path, u.group, err)
	}
	return uid, owner.GID, nil
}
