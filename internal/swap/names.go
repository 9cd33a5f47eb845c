package swap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// second is a second name. It says what is to be done, wherever a run is killed:
// .FILE.ailee-old-SRC-FROM-DST-AT-GS-GD means that what inode SRC has after byte FROM belongs
// in inode DST after byte AT. GS and GD are digests of what comes before these places. With
// back instead of old, DST is to get the name FILE again.
type second struct {
	kind     string
	leads    uint64 // the inode that has the name
	src, dst uint64 // inodes
	from, at int64
	gs, gd   string
	earlier  bool // in the form of an earlier version: only from and at
}

const (
	oldKind  = "old"
	backKind = "back"
)

func (n *second) name(base string) string {
	if n.earlier {
		return fmt.Sprintf(".%s.ailee-old-%d-%d", base, n.from, n.at)
	}
	return fmt.Sprintf(".%s.ailee-%s-%d-%d-%d-%d-%s-%s", base, n.kind, n.src, n.from, n.dst, n.at, n.gs, n.gd)
}

// parse parses the name of a file in the folder of base. It returns false if that is not a second
// name.
func parse(base, entry string) (n *second, ok bool) {
	rest, ok := strings.CutPrefix(entry, "."+base+".ailee-")
	if !ok {
		return nil, false
	}
	fields := strings.Split(rest, "-")
	n = &second{kind: fields[0]}
	switch {
	case len(fields) == 3 && n.kind == oldKind:
		n.earlier = true
		n.from, n.at = number(fields[1]), number(fields[2])
	case len(fields) == 7 && (n.kind == oldKind || n.kind == backKind):
		n.src, n.from, n.dst, n.at = uint64(number(fields[1])), number(fields[2]), uint64(number(fields[3])), number(fields[4])
		n.gs, n.gd = fields[5], fields[6]
	default:
		return nil, false
	}
	return n, n.name(base) == entry
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// Left returns the paths of the second names that killed runs left, or that a run in progress uses.
func Left(path string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if _, ok := parse(filepath.Base(path), entry.Name()); ok {
			names = append(names, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	return names, nil
}

// digestWindow is how many bytes before a place its digest covers: the end of the last snapshot
// with its anchor, so that the cost does not depend on the size of the snapshot.
const digestWindow = 64 << 10

// digest returns the digest of what comes before a place.
func digest(f io.ReaderAt, place int64) (string, error) {
	n := min(place, digestWindow)
	sum := sha256.New()
	copied, err := io.Copy(sum, io.NewSectionReader(f, place-n, n))
	if err == nil && copied < n {
		err = io.ErrUnexpectedEOF
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

// sameBefore reports whether what comes before a place in f has the wanted digest.
func sameBefore(f *os.File, place int64, want string) (bool, error) {
	size, err := sizeOf(f)
	if err != nil || size < place {
		return false, err
	}
	have, err := digest(f, place)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return have == want, err
}

// Finish is FINISH: it completes what the second names say, the newest first, until none is
// left. It should not be interrupted: what it does is not undone.
func (r *Run) Finish(ctx context.Context) error {
	if err := r.removeTemporary(); err != nil {
		return err
	}
	for {
		names, err := r.seconds()
		if err != nil || len(names) == 0 {
			return errors.Join(err, r.releaseAll(0))
		}
		now, err := r.leadsTo(r.base)
		if err == nil {
			err = r.complete(ctx, newest(names, now), now)
		}
		if err != nil {
			return errors.Join(hinted(err), r.releaseAll(0))
		}
	}
}

// hinted adds a hint to an error after EXCHANGE.
func hinted(err error) error {
	var known *exit.Error
	if err = explain(err); errors.As(err, &known) || errors.Is(err, durable.ErrBusy) || errors.Is(err, ErrChanged) {
		return err
	}
	return exit.Fail(completeHint, err) // an error after the new file has taken its place
}

// removeTemporary removes the temporary file of a run that was killed before it brought it in.
func (r *Run) removeTemporary() error {
	if _, err := r.leadsTo(r.temporary()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	tmp, err := durable.Create(r.path, 0o600)
	if err == nil {
		tmp.Abort()
	}
	return err
}

// seconds returns the second names.
func (r *Run) seconds() (names []*second, err error) {
	paths, err := Left(r.path)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		n, _ := parse(r.base, filepath.Base(path))
		var st unix.Stat_t
		switch err := unix.Fstatat(int(r.folder.Fd()), filepath.Base(path), &st, unix.AT_SYMLINK_NOFOLLOW); {
		case errors.Is(err, unix.ENOENT):
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
		case st.Mode&unix.S_IFMT != unix.S_IFREG:
			return nil, planted(path)
		}
		n.leads = st.Ino
		names = append(names, n)
	}
	return names, nil
}

// newest returns the newest of the names. now is the inode of FILE. First come those that were
// not exchanged, then one that ends in FILE. A name whose dst is the src of another name is older
// than that name.
func newest(names []*second, now uint64) *second {
	var best *second
	bestRank := -1
	for _, n := range names {
		if rank := n.rank(names, now); rank > bestRank {
			best, bestRank = n, rank
		}
	}
	return best
}

func (n *second) rank(names []*second, now uint64) int {
	switch {
	case n.earlier && n.leads == now, !n.earlier && n.kind == oldKind && n.leads == n.dst:
		return 4
	case n.earlier:
		return 1
	case n.dst == now && (n.kind == oldKind || n.leads == n.src),
		n.src == now && n.kind == backKind && n.leads == n.dst:
		return 3
	}
	for _, other := range names {
		if other != n && !other.earlier && other.src == n.dst {
			return 0
		}
	}
	if n.kind == backKind {
		return 2
	}
	return 1
}

// complete does what a second name says, as far as it can. now is the inode of FILE.
func (r *Run) complete(ctx context.Context, n *second, now uint64) error {
	switch {
	case n.earlier && n.leads == now, n.kind == oldKind && !n.earlier && n.leads == n.dst:
		return r.remove(n.name(r.base)) // killed before EXCHANGE
	}
	if !r.known[n.src] && !r.known[n.dst] {
		r.known[n.src], r.known[n.dst] = !n.earlier, !n.earlier
		r.warn("an earlier run was killed: completing it from %s", r.pathOf(n))
	}
	switch {
	case n.earlier:
		return r.adopt(n)
	case n.leads == n.src:
		return r.drain(ctx, n)
	case n.kind == oldKind && n.dst == now, n.kind == backKind && n.leads == n.dst && n.src == now:
		return r.putBack(ctx, n)
	}
	return r.elsewhere(n)
}

// elsewhere returns the error for a second name that does not concern the present FILE.
func (r *Run) elsewhere(n *second) error {
	return exit.Failf("see what it has, then give it another name: "+exit.Command("ailee_l2_verify", "--all", "--snapshot", r.pathOf(n)),
		"%s was replaced after an earlier run was killed: what was appended to the old file, after byte %d of %s, is not in it", r.path, n.from, r.pathOf(n))
}

// planted returns the error for a second name that no run of this tool made.
func planted(path string) error {
	return exit.Failf("find out who put it there, and remove it", "%s was not left by an earlier run", path)
}

// openSource opens the file of a second name for reading. Its content ends up in FILE, so it must
// not be a link, which could lead anywhere.
func (r *Run) openSource(n *second) (*file, error) {
	if f := r.open[n.leads]; f != nil && !f.alone {
		return f, nil
	}
	f, err := r.openFile(n.name(r.base), unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := r.own(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// The monitor looks for the lock.
	_ = durable.Lock(f.File)
	r.open[f.inode] = f
	return f, nil
}

// own refuses a file that has other names, or whose owner is neither that of FILE nor that of the
// folder.
func (r *Run) own(f *file) error {
	var mine, current, folder unix.Stat_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &mine), unix.Fstat(int(r.folder.Fd()), &folder),
		unix.Fstatat(int(r.folder.Fd()), r.base, &current, unix.AT_SYMLINK_NOFOLLOW)); err != nil {
		return err
	}
	if mine.Nlink != 1 || mine.Uid != current.Uid && mine.Uid != folder.Uid {
		return planted(f.Name())
	}
	return nil
}
