package datadir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/printable"
	"ailee-recovery/snapshot"
)

// source is a source that was read, with its content.
type source struct {
	Source
	file *content.Snapshots
	db   *content.Database
	// unpacked is the folder of the database, if one could be opened.
	unpacked string
}

// anchors calls found with the hash of each anchor in the source.
func (s *source) anchors(found func(hash string)) error {
	if s.file != nil {
		for a, err := range s.file.Anchors() {
			if err != nil {
				return err
			}
			found(a.Hash)
		}
	}
	if s.db != nil {
		for a, err := range s.db.AnchorRecords() {
			if err != nil {
				return err
			}
			found(a.Hash)
		}
	}
	return nil
}

// count fills in what is known of the content.
func (s *source) count() error {
	if f := s.file; f != nil {
		s.Snapshots, s.Hidden, s.PegOutsOpen = f.Valid, f.HiddenCount, f.PegOutsOpen
		if f.Newest != nil {
			t := timeAt(f.Newest)
			s.Newest = &t
		}
	}
	if d := s.db; d != nil {
		s.Blocks, s.Tip, s.Anchors, s.Events = uint64(d.Blocks), d.Tip, uint64(d.AnchorCount), uint64(d.Events)
		var err error
		s.Heights, err = heightsOf(d)
		return err
	}
	return nil
}

// examine reads a source. If it cannot be read, its verdict says so.
func (l *looker) examine(ctx context.Context, path string, kind Kind, role Role) (*source, error) {
	e, err := backups.Examine(ctx, path, kind, l.examineOptions(path))
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, e)
	return l.examined(e, kind, role)
}

func (l *looker) examineOptions(path string) backups.ExamineOptions {
	return backups.ExamineOptions{Now: l.now, Memory: l.Memory, Progress: l.progress(filepath.Base(path), 0)}
}

func (l *looker) examined(e *backups.Examined, kind Kind, role Role) (*source, error) {
	s := &source{Source: Source{Path: e.Path, Kind: kind, Role: role, Verdict: e.Verdict, ReadNow: true, Made: e.MTime.UTC().Truncate(time.Second)},
		file: e.Snapshots, db: e.Database, unpacked: e.Unpacked}
	if e.Err != nil {
		s.Why = printable.Text(withoutPath(e.Err, e.Path))
	}
	return s, s.count()
}

// lookFolder checks backups-folder.
func (l *looker) lookFolder(ctx context.Context) error {
	path := l.backupDir()
	f := &BackupFolder{Path: path}
	l.view.BackupFolder = f
	if point := notMounted(path); point != "" {
		f.NotMounted = true
		l.couldNotWith(BackupsFolder, f, fmt.Errorf("%s is in /etc/fstab but %w", point, errNotMounted))
		return nil
	}
	if link, err := os.Readlink(path); err == nil && !exists(path+"/.") {
		f.NotMounted = true
		l.couldNotWith(BackupsFolder, f, fmt.Errorf("it is a link to %s, which %w", link, errNotMounted))
		return nil
	}
	dir, err := backups.ReadDir(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.wrong(BackupsFolder, f, "there is no folder %s", path)
		return nil
	case err != nil:
		return l.unless(ctx, BackupsFolder, err)
	}
	l.dir, f.Dir = dir, dir
	f.Exists, f.Rebuilt, f.Unknown = true, dir.Rebuilt != "", len(dir.Unknown)
	f.Snapshots, f.Databases = len(dir.Of(backups.Snapshots)), len(dir.Of(backups.Database))
	for _, gone := range dir.Gone {
		to := &f.Gone
		if slices.ContainsFunc(dir.New, func(b backups.Backup) bool { return b.Name == gone.Name }) {
			to = &f.Changed
		}
		*to = append(*to, gone.Name)
	}
	var wrong []string
	if n := len(f.Gone); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%s missing that no rule deleted, the last is %s", countIs(n, "backup"), f.Gone[n-1]))
	}
	if n := len(f.Changed); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%s not what was backed up, the last is %s", countIs(n, "backup"), f.Changed[n-1]))
	}
	if len(wrong) > 0 {
		l.wrong(BackupsFolder, f, "%s", strings.Join(wrong, "; "))
		return nil
	}
	fact := l.sound(BackupsFolder, f, "%d of the file and %d of the database", f.Snapshots, f.Databases)
	if f.Rebuilt && exists(filepath.Join(path, backups.CatalogueName)) {
		fact.Remark = printable.Text("the catalogue is ignored: " + dir.Rebuilt)
	}
	return nil
}

// countIs begins a sentence about n things.
func countIs(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return fmt.Sprintf("%d %ss are", n, thing)
}

var errNotMounted = errors.New("is not mounted")

// notMounted returns the mount point at or above a path that is in /etc/fstab although nothing
// is mounted there, "" if there is none.
func notMounted(path string) string {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	points := mountPoints(string(table))
	fstab, _ := os.ReadFile("/etc/fstab")
	for line := range strings.Lines(string(fstab)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") || !strings.HasPrefix(fields[1], "/") || fields[1] == "/" {
			continue
		}
		point := filepath.Clean(unescapeFstab(fields[1]))
		if !points[point] && (path == point || strings.HasPrefix(path, point+"/")) {
			return point
		}
	}
	return ""
}

// unescapeFstab decodes a path in fstab(5).
func unescapeFstab(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t").Replace(path)
}

// lookOlder checks backups-older, by what the catalogue says.
func (l *looker) lookOlder() {
	o := &OlderBackups{}
	open := map[backups.Kind]map[uint64]bool{}
	for _, kind := range kinds {
		open[kind] = map[uint64]bool{}
		for _, line := range l.dir.Catalogue.OpenLines(kind) {
			open[kind][line] = false
		}
		for _, b := range l.dir.Of(kind) {
			o.add(b, filepath.Join(l.dir.Path, b.Name))
			if b.Verified.Verdict == backups.Sound {
				open[kind][b.Line] = true
			}
		}
	}
	l.view.OlderBackups = o
	for _, kind := range kinds {
		for _, sound := range open[kind] {
			if !sound && l.dir.Rebuilt == "" {
				o.LineWithout = append(o.LineWithout, kind)
				break
			}
		}
	}
	text := fmt.Sprintf("%d sound, %d wrong, %d not read, when last checked", o.Sound, o.Wrong, o.Unread)
	if len(o.LineWithout) > 0 {
		l.wrong(BackupsOlder, o, "no sound backup is left of an earlier state of the %s that new backups are compared with", o.LineWithout[0])
		return
	}
	f := l.sound(BackupsOlder, o, "%s", text)
	if o.Wrong > 0 {
		f.Remark = fmt.Sprintf("%s wrong, such as %s", countIs(o.Wrong, "backup"), filepath.Base(o.Listed[0].Path))
	}
}

func (o *OlderBackups) add(b backups.Backup, path string) {
	switch b.Verified.Verdict {
	case backups.Sound:
		o.Sound++
	case backups.Wrong:
		o.Wrong++
		if len(o.Listed) < MaxListed {
			o.Listed = append(o.Listed, Source{Path: path, Kind: b.Kind, Role: Backup, Verdict: SourceWrong, Why: printable.Text(b.Verified.Why), Made: b.Made})
		}
	default:
		o.Unread++
	}
}

// lookBackupNames checks backups-names.
func (l *looker) lookBackupNames(ctx context.Context) error {
	n := &BackupNames{}
	for _, kind := range kinds {
		list := l.dir.Of(kind)
		for _, b := range list {
			name, ok := backups.ParseName(b.Name)
			if !ok || !name.Time.After(l.now.Add(ahead)) {
				continue
			}
			renamed, err := l.trueName(ctx, name, filepath.Join(l.dir.Path, b.Name), b)
			if err != nil {
				return l.unless(ctx, BackupsNames, err)
			}
			n.Future = append(n.Future, Misdated{filepath.Join(l.dir.Path, b.Name), renamed})
		}
		n.Shared = append(n.Shared, l.sharedOnly(list)...)
	}
	l.view.BackupNames = n
	switch {
	case len(n.Future) > 0:
		l.wrong(BackupsNames, n, "%s dated in the future, such as %s", countIs(len(n.Future), "backup"), filepath.Base(n.Future[0].Path))
	case len(n.Shared) > 0:
		l.wrong(BackupsNames, n, "%d backups, such as %s, share a single copy of the data (hard links)", len(n.Shared), filepath.Base(n.Shared[0]))
	default:
		l.sound(BackupsNames, n, "none dated in the future")
	}
	return nil
}

// trueName returns a free path for a backup, named by the time of its newest content, else by
// its mtime, else by the clock.
func (l *looker) trueName(ctx context.Context, name backups.Name, path string, b backups.Backup) (string, error) {
	at := time.Time{}
	if b.Snapshots != nil && b.Snapshots.Newest != nil && b.Snapshots.Newest.Time != nil {
		at = *b.Snapshots.Newest.Time
	} else if name.Kind == backups.Snapshots {
		e, err := backups.Examine(ctx, path, name.Kind, l.examineOptions(path))
		if err != nil {
			return "", err
		}
		l.closers = append(l.closers, e)
		if e.Snapshots != nil && e.Snapshots.Newest != nil && !e.Snapshots.Newest.Doubtful {
			at = e.Snapshots.Newest.Time
		}
	}
	if content.InDoubt(at, l.now) {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		at = info.ModTime()
	}
	if content.InDoubt(at, l.now) {
		at = l.now
	}
	for name.Time = at.UTC().Truncate(time.Second); ; name.Time = name.Time.Add(time.Second) {
		renamed := filepath.Join(l.dir.Path, name.String())
		if !exists(renamed) && !slices.ContainsFunc(l.futureNames, func(taken string) bool { return taken == renamed }) {
			l.futureNames = append(l.futureNames, renamed)
			return renamed, nil
		}
	}
}

// sharedFor is for how long backups may share one copy of the data.
const sharedFor = 25 * time.Hour

// sharedOnly returns the paths of all backups of a kind if they all share one inode, and have
// done so for longer than they should: one bad sector would damage all of them.
func (l *looker) sharedOnly(list []backups.Backup) []string {
	if len(list) < 2 {
		return nil
	}
	var names []string
	var first, last time.Time
	var id ID
	for i, b := range list {
		path := filepath.Join(l.dir.Path, b.Name)
		now, ok := idAt(path)
		if !ok || i > 0 && now != id {
			return nil
		}
		id = now
		names = append(names, path)
		if i == 0 || b.Made.Before(first) {
			first = b.Made
		}
		if i == 0 || b.Made.After(last) {
			last = b.Made
		}
	}
	if last.Sub(first) <= sharedFor {
		return nil
	}
	return names
}

// lastBackups returns the sizes of the newest backups by sequence, 0 if there is none.
func (l *looker) lastBackups() (snapshots, database uint64) {
	if l.dir == nil {
		return 0, 0
	}
	size := func(kind backups.Kind) uint64 {
		list := l.dir.Of(kind)
		if len(list) == 0 {
			return 0
		}
		return sizeOf(filepath.Join(l.dir.Path, list[0].Name))
	}
	return size(backups.Snapshots), size(backups.Database)
}

// lookNewest checks backups-newest.
func (l *looker) lookNewest(ctx context.Context) error {
	n := &NewestBackups{}
	if err := l.readBackups(ctx); err != nil {
		return l.unless(ctx, BackupsNewest, err)
	}
	var missing []string
	for _, kind := range kinds {
		found := l.newest[kind]
		switch {
		case found == nil:
			missing = append(missing, string(kind))
		case kind == SnapshotKind:
			n.Snapshots = &found.Source
		default:
			n.Database = &found.Source
		}
	}
	for _, s := range l.sources {
		if s.Role == Backup && s.Verdict == SourceWrong {
			n.Wrong = append(n.Wrong, s.Source)
		}
	}
	l.view.NewestBackups = n
	switch {
	case len(n.Wrong) > 0:
		first := n.Wrong[0]
		l.wrong(BackupsNewest, n, "%s: %s", filepath.Base(first.Path), first.Why)
	case len(missing) > 0:
		l.wrong(BackupsNewest, n, "no sound backup of the %s", strings.Join(missing, " and of the "))
	default:
		l.sound(BackupsNewest, n, "%s and %s are sound", filepath.Base(n.Snapshots.Path), filepath.Base(n.Database.Path))
	}
	return nil
}

// readBackups reads the newest backup of each kind by content, newer ones that are wrong, and
// the newest sound one of each other open line. Each is read once.
func (l *looker) readBackups(ctx context.Context) error {
	if l.read || l.dir == nil {
		return nil
	}
	l.read = true
	l.newest = map[Kind]*source{}
	for _, kind := range kinds {
		if err := l.readKind(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

func (l *looker) readKind(ctx context.Context, kind Kind) error {
	o := backups.ChooseOptions{ExamineOptions: l.examineOptions(l.dir.Path)}
	if kind == DatabaseKind && l.latest != nil && l.latest.Holding() {
		o.Anchor = l.latest.Anchor.Hash
	}
	choice, err := backups.Choose(ctx, l.dir, kind, o)
	if err != nil {
		return err
	}
	l.closers = append(l.closers, choice)
	list := l.dir.Of(kind)
	chosen := len(list)
	if choice.Chosen != nil {
		s, err := l.examined(choice.Chosen, kind, Backup)
		if err != nil {
			return err
		}
		chosen = slices.IndexFunc(list, func(b backups.Backup) bool { return b.Name == filepath.Base(s.Path) })
		if chosen >= 0 {
			s.Made = list[chosen].Made
			known := list[chosen]
			known.Verify(choice.Chosen, l.now)
			s.Changed = known.Verified.Verdict == SourceWrong
		}
		l.newest[kind] = s
		l.sources = append(l.sources, s)
	}
	lines := map[uint64]bool{}
	if chosen >= 0 && chosen < len(list) {
		lines[list[chosen].Line] = true
	}
	for i, b := range list {
		path := filepath.Join(l.dir.Path, b.Name)
		wrong := slices.ContainsFunc(choice.Passed, func(p backups.Passed) bool { return p.Path == path && p.Wrong })
		if i > chosen || i >= maxRotten || !wrong {
			continue
		}
		s, err := l.examine(ctx, path, kind, Backup)
		if err != nil {
			return err
		}
		if s.Made = b.Made; s.Verdict == SourceWrong {
			s.Why = cmp.Or(s.Why, "it does not verify")
			l.sources = append(l.sources, s)
		}
	}
	return l.readLines(ctx, kind, list, lines)
}

// maxRotten is how many of the newest backups are read for what can be salvaged from them.
const maxRotten = 8

// readLines reads the newest sound backup of each open line of which no backup was read. If the
// catalogue had to be rebuilt, the lines are not known. To find everything that the data lacks,
// all backups are read then; those that have more than the others become sources.
func (l *looker) readLines(ctx context.Context, kind Kind, list []backups.Backup, read map[uint64]bool) error {
	if l.dir.Rebuilt != "" && !l.wanted[BackupsCover] {
		return nil
	}
	if l.dir.Rebuilt != "" {
		for _, b := range list {
			if newest := l.newest[kind]; newest == nil || filepath.Base(newest.Path) == b.Name {
				continue
			}
			if err := l.readMore(ctx, kind, b); err != nil {
				return err
			}
		}
		return nil
	}
	for _, line := range l.dir.Catalogue.OpenLines(kind) {
		b := l.dir.Catalogue.NewestSound(kind, line)
		if b == nil || read[line] {
			continue
		}
		read[line] = true
		if err := l.readMore(ctx, kind, *b); err != nil {
			return err
		}
	}
	return nil
}

// readMore reads a backup and makes it a source, unless another backup has everything in it.
func (l *looker) readMore(ctx context.Context, kind Kind, b backups.Backup) error {
	s, err := l.examine(ctx, filepath.Join(l.dir.Path, b.Name), kind, Backup)
	if err != nil || s.Verdict != SourceSound {
		return err
	}
	s.Made = b.Made
	for _, other := range l.sources {
		if other.Role != Backup || other.Kind != kind || other.Verdict != SourceSound {
			continue
		}
		contained, err := contains(ctx, s, other)
		if err != nil || contained {
			return err
		}
	}
	l.sources = append(l.sources, s)
	return nil
}

// contains reports whether b has everything in a.
func contains(ctx context.Context, a, b *source) (bool, error) {
	if a.Kind == SnapshotKind {
		d, err := content.CompareSnapshots(ctx, a.file, b.file)
		return err == nil && d.Contains(), err
	}
	d, err := content.CompareDatabases(ctx, a.db, b.db)
	return err == nil && d.Contains(), err
}

// liveSources adds the live parts as sources, as far as they could be read.
func (l *looker) liveSources(ctx context.Context) error {
	p := l.view.Place
	if f := l.view.SnapshotForm; f != nil && f.Form != MissingForm {
		s := &source{Source: Source{Path: p.Snapshots, Kind: SnapshotKind, Role: Live, ReadNow: true, Verdict: SourceWrong}}
		switch {
		case l.all != nil:
			s.file = l.all
			if l.all.LatestValid() {
				s.Verdict = SourceSound
			}
		case f.Form == GzipForm || f.Form == ZstdForm || f.Form == TarForm:
			unpacked, err := l.examine(ctx, p.Snapshots, SnapshotKind, Live)
			if err != nil {
				return err
			}
			s = unpacked
			s.Packed = true
			l.all = s.file
		}
		if err := s.count(); err != nil {
			return err
		}
		if s.file != nil {
			l.sources = append(l.sources, s)
		}
	}
	if l.db != nil {
		s := &source{Source: Source{Path: p.Database, Kind: DatabaseKind, Role: Live, ReadNow: true, Verdict: SourceSound}, db: l.db}
		if !l.db.Sound() {
			s.Verdict = SourceWrong
		}
		if err := s.count(); err != nil {
			return err
		}
		l.sources = append(l.sources, s)
	}
	return nil
}

// readCopies reads copies next to the data, and what killed prunes left.
func (l *looker) readCopies(ctx context.Context) error {
	if l.view.Copies != nil {
		for _, c := range l.view.Copies.Found {
			if err := l.readCopy(ctx, c.Path, c.Kind, KeptCopy); err != nil {
				return err
			}
		}
	}
	if l.view.Leftovers != nil {
		for i, left := range l.view.Leftovers.Found {
			if left.Kind != PruneLeft && left.Kind != PruneForeign {
				continue
			}
			if err := l.readCopy(ctx, left.Path, SnapshotKind, LeftoverRole); err != nil {
				return err
			}
			if s := l.sources[len(l.sources)-1]; s.Path == left.Path {
				l.view.Leftovers.Found[i].Snapshots = s.Snapshots
			}
		}
	}
	return nil
}

func (l *looker) readCopy(ctx context.Context, path string, kind Kind, role Role) error {
	s, err := l.examine(ctx, path, kind, role)
	if err != nil {
		return err
	}
	if s.file != nil || s.db != nil {
		l.sources = append(l.sources, s)
	}
	return nil
}

// ofKind returns the sources of a kind in the order in which they would be merged: the live
// one, backups starting at the newest, copies, then what killed runs left.
func (l *looker) ofKind(kind Kind) []*source {
	var list []*source
	for _, s := range l.sources {
		if s.Kind == kind && (s.file != nil || s.db != nil) {
			list = append(list, s)
		}
	}
	rank := map[Role]int{Live: 0, Backup: 1, KeptCopy: 2, LeftoverRole: 3}
	slices.SortStableFunc(list, func(a, b *source) int {
		return cmp.Or(cmp.Compare(rank[a.Role], rank[b.Role]), cmp.Compare(soundFirst(a), soundFirst(b)), b.Made.Compare(a.Made))
	})
	return list[:min(len(list), maxSources)]
}

func soundFirst(s *source) int {
	if s.Verdict == SourceSound {
		return 0
	}
	return 1
}

// maxSources bounds how many sources of a kind are compared: a group has a bit for each.
const maxSources = 64

// latestHolds reports whether the anchor of the latest snapshot holds, so that a node loads it.
func (l *looker) latestHolds() bool {
	return l.latest != nil && l.latest.AnchorVerdict == snapshot.AnchorHolds
}
