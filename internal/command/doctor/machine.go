package doctor

import (
	"fmt"
	"path/filepath"
	"slices"

	"ailee-recovery/internal/datadir"
)

// listedPaths is how many paths in the database are named one by one. If there are more, the
// steps name its folder instead.
const listedPaths = 5

// rights adds the steps that let the node's user read and write its files.
func (p *planner) rights() {
	if !p.v.Is(datadir.DataOwner, datadir.Wrong) {
		return
	}
	o := p.v.Owners
	var owner, mode []string
	inDatabase := 0
	for _, d := range o.Wrong {
		if filepath.Dir(d.Path) == p.v.Place.Database {
			inDatabase++
		}
	}
	whole := inDatabase > listedPaths || o.Count > len(o.Wrong)
	for _, d := range o.Wrong {
		if whole && (d.Path == p.v.Place.Database || filepath.Dir(d.Path) == p.v.Place.Database) {
			continue
		}
		if d.ByOwner {
			owner = append(owner, d.Path)
		}
		if d.ByMode {
			mode = append(mode, d.Path)
		}
	}
	who := fmt.Sprintf("%d:%d", o.UID, o.GID)
	if o.User != "" {
		who = o.User
	}
	if whole {
		p.add(Step{Text: "Give the database to the node's user, who cannot use it.", Command: []string{"chown", "-R", who, p.v.Place.Database}},
			Step{Text: "Let that user read and write it.", Command: []string{"chmod", "-R", "u+rwX", p.v.Place.Database}})
	}
	if len(owner) > 0 {
		p.add(Step{Text: "Give these to the node's user, who cannot use them.", Command: slices.Concat([]string{"chown", who}, owner)})
	}
	if len(mode) > 0 {
		p.add(Step{Text: "Let the node's user read and write these.", Command: slices.Concat([]string{"chmod", "u+rwX"}, mode)})
	}
}

// attributes adds the steps that clear the immutable attribute and, where the plan needs it,
// the append-only one. It returns the steps that set the latter again. A plan that only
// removes files needs it cleared on the data directory alone.
func (p *planner) attributes(replaces, removes bool) (undo []Step) {
	if p.v.Mounts == nil {
		return nil
	}
	var immutable, appendOnly []string
	for _, m := range p.v.Mounts.Found {
		switch {
		case m.Kind == datadir.Immutable:
			immutable = append(immutable, m.Path)
		case m.Kind == datadir.AppendOnly && (replaces || removes && m.Path == p.v.Place.Path):
			appendOnly = append(appendOnly, m.Path)
		}
	}
	inDatabase := func(path string) bool { return path == p.v.Place.Database || filepath.Dir(path) == p.v.Place.Database }
	if n := len(immutable); n > 0 {
		rest := slices.DeleteFunc(slices.Clone(immutable), inDatabase)
		if n-len(rest) > listedPaths {
			immutable = rest
			p.add(Step{Text: "Let the node write to its database, which is immutable.", Command: []string{"chattr", "-R", "-i", p.v.Place.Database}})
		}
	}
	if len(immutable) > 0 {
		p.add(Step{Text: "Let the node write to these, which are immutable.", Command: slices.Concat([]string{"chattr", "-i"}, immutable)})
	}
	if len(appendOnly) == 0 {
		return nil
	}
	p.add(Step{Text: "Allow what is append-only to be replaced.", Command: slices.Concat([]string{"chattr", "-a"}, appendOnly)})
	return []Step{{Text: "Make it append-only again.", Command: slices.Concat([]string{"chattr", "+a"}, appendOnly)}}
}

// readOnly adds a step for each read-only file system, on which no other step can work.
func (p *planner) readOnly() {
	if p.v.Mounts == nil {
		return
	}
	for _, f := range p.v.Mounts.Found {
		if f.Kind == datadir.ReadOnly {
			p.manual("The file system at %s is mounted read-only. Find out why, with dmesg, before you make it writable: a failing disk can cause this.", f.Point)
		}
	}
}

// outside adds the steps that no command of a plan can do: mounting disks, and installing
// another build.
func (p *planner) outside() {
	if p.tooNew() {
		p.manual("Use the build of these tools that matches the node's RocksDB: nothing is damaged, but a copy would lose what this build cannot read.")
	}
	if f := p.v.BackupFolder; f != nil && f.NotMounted {
		p.manual("Mount the file system of %s: %s. Do not create the folder: it would hide the backups.", f.Path, p.v.Fact(datadir.BackupsFolder).Text)
	}
}

// ownMount returns the mount that keeps a part from being replaced, nil for none.
func (p *planner) ownMount(kind datadir.Kind) *datadir.Mounted {
	if p.v.Mounts == nil {
		return nil
	}
	path := p.v.Place.Snapshots
	if kind == datadir.DatabaseKind {
		path = p.v.Place.Database
	}
	for i, m := range p.v.Mounts.Found {
		if m.Path == path && (m.Kind == datadir.OwnMount || m.Kind == datadir.MountedBy) {
			return &p.v.Mounts.Found[i]
		}
	}
	return nil
}

// fixSpace makes room: it removes copies that are proved redundant, or says how much is
// needed. If the disk of the data is too small, recovered data goes to another disk, such as
// that of the backups.
func (p *planner) fixSpace() {
	s := p.v.Space
	if s == nil || len(s.FileSystems) == 0 {
		return
	}
	data := s.FileSystems[0]
	part := p.writes()
	need := max(data.Needed, 2*part+margin)
	if part > 0 && data.Free < need {
		if other := p.otherDisk(part); other != "" {
			p.room = filepath.Join(other, filepath.Base(p.room))
			need = max(data.Needed, part+margin)
		}
	}
	if data.Free >= need && !data.Lacks() {
		return
	}
	lacking := uint64(0)
	if need > data.Free {
		lacking = need - data.Free
	}
	freed := uint64(0)
	if p.v.Copies != nil {
		for _, c := range p.v.Copies.Found {
			if !c.Redundant || freed >= lacking && lacking > 0 {
				continue
			}
			freed += uint64(c.Size)
			command := []string{"rm", c.Path}
			if c.Kind == datadir.DatabaseKind {
				command = []string{"rm", "-r", c.Path}
			}
			p.add(Step{Text: fmt.Sprintf("Make room, %s: the live data has everything in this copy.", datadir.Bytes(uint64(c.Size))), Command: command})
		}
	}
	if freed < lacking || lacking == 0 && freed == 0 {
		p.manual("Make room on the file system of %s: %s free, %s needed%s. Delete nothing in %s, and no backup.",
			data.Path, datadir.Bytes(data.Free), datadir.Bytes(need), whatFor(data), p.databasePath())
	}
}

// whatFor says what the space on a file system is needed for.
func whatFor(f datadir.FileSystem) string {
	text := ""
	for i, n := range f.Needs {
		text += map[bool]string{true: " (", false: ", "}[i == 0] + fmt.Sprintf("%s %s", n.For, datadir.Bytes(n.Bytes))
	}
	if text != "" {
		text += ")"
	}
	return text
}

// margin is how many bytes stay free.
const margin = 64 << 20

// writes returns how many bytes recovered data takes.
func (p *planner) writes() (size uint64) {
	if (p.snapshots.replaces() || p.discards()) && p.v.SnapshotForm != nil {
		size += uint64(max(p.v.SnapshotForm.Size, 0))
	}
	if p.database.replaces() && p.v.DatabaseForm != nil {
		size += uint64(max(p.v.DatabaseForm.Size, 0))
	}
	return size
}

// otherDisk returns a folder on another file system that has room, "" if there is none.
func (p *planner) otherDisk(need uint64) string {
	for _, f := range p.v.Space.FileSystems[1:] {
		if f.Free >= f.Needed+need {
			return f.Path
		}
	}
	return ""
}

// names adds the steps that rename backups dated in the future to their true times.
func (p *planner) names() {
	if p.v.BackupNames == nil {
		return
	}
	for _, f := range p.v.BackupNames.Future {
		p.add(Step{Text: "Rename a backup that is dated in the future to its true time.", Command: []string{"mv", "-n", f.Path, f.True}})
	}
}

// save adds a backup, if the plan changes the data or the backups need one.
func (p *planner) save(changed bool) {
	if f := p.v.BackupFolder; f == nil || f.NotMounted || p.v.Is(datadir.BackupsFolder, datadir.CouldNot) {
		return
	}
	if p.snapshots.how == lost || p.database.how == lost {
		return // there is nothing to back up
	}
	asks := p.asksBackup
	if p.unread() {
		// Only the file can be backed up, which does not repair the backups of the database.
		changed = p.snapshots.replaces() || p.snapshots.how == tail
		asks = p.fileAsksBackup
	}
	if !changed && !asks() {
		return
	}
	if p.unnoted() && !p.snapshots.replaces() && !p.database.replaces() {
		p.add(Step{Text: "Record which backups are wrong, so that no new backup is linked to them. Exit status 2 is expected.",
			Command: p.own("ailee-backup", "verify", "--all"), Expect: []int{0, 2}})
	}
	if p.unread() {
		p.add(Step{Text: "Back up the snapshot file.", Command: p.own("ailee-backup", "--snapshot-only")})
		return
	}
	p.add(Step{Text: "Back up.", Command: p.own("ailee-backup")})
}

// asksBackup reports whether a new backup repairs what is wrong with the backups.
func (p *planner) asksBackup() bool {
	return p.v.Is(datadir.BackupsNewest, datadir.Wrong) || p.v.Is(datadir.BackupsFolder, datadir.Wrong) || p.v.Is(datadir.BackupsOlder, datadir.Wrong) ||
		p.v.Is(datadir.SnapshotsNames, datadir.Wrong) || p.v.BackupNames != nil && len(p.v.BackupNames.Shared)+len(p.v.BackupNames.Future) > 0
}

// fileAsksBackup is [planner.asksBackup] for plans that can back up only the snapshot file.
func (p *planner) fileAsksBackup() bool {
	isFile := func(s datadir.Source) bool { return s.Kind == datadir.SnapshotKind }
	n, o := p.v.NewestBackups, p.v.OlderBackups
	return p.v.Is(datadir.BackupsFolder, datadir.Wrong) || p.v.Is(datadir.SnapshotsNames, datadir.Wrong) ||
		n != nil && (n.Snapshots == nil || slices.ContainsFunc(n.Wrong, isFile)) ||
		o != nil && slices.Contains(o.LineWithout, datadir.SnapshotKind) ||
		p.v.BackupNames != nil && len(p.v.BackupNames.Future) > 0
}

// unnoted reports whether a newest backup is wrong but the catalogue does not say so yet.
func (p *planner) unnoted() bool {
	n, o := p.v.NewestBackups, p.v.OlderBackups
	return n != nil && slices.ContainsFunc(n.Wrong, func(s datadir.Source) bool {
		return o == nil || !slices.ContainsFunc(o.Listed, func(known datadir.Source) bool { return known.Path == s.Path })
	})
}
