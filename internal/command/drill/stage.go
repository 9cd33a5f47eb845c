package drill

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// marker is the file that says that a folder is a drill's.
const marker = ".ailee_test_recovery"

// What a drill makes in its folder beside the marker.
const (
	nodePart      = "node"      // the node's data directory
	samplesPart   = "samples"   // the snapshots that it writes
	extractedPart = "extracted" // one that was taken out of its file
	copyPart      = "copy"      // of its database
	bitcoinPart   = "bitcoin"   // the Bitcoin node's folder
	temporaryPart = "temporary" // what a tool that is killed leaves
	probePart     = "probe"     // whether anything can be written
)

var parts = []string{nodePart, samplesPart, extractedPart, copyPart, bitcoinPart, temporaryPart, probePart}

// stage is the folder of a drill, locked for as long as the drill runs.
type stage struct {
	dir       string // absolute, without links
	temporary bool   // to be removed in the end
	root      *os.Root
	lock      *os.File
}

// temporaryPrefix begins the names of temporary folders.
const temporaryPrefix = "ailee-drill-"

// openStage makes the folder, or takes that of an earlier drill and empties it. Nothing
// that no drill made is touched. dir is "" for a temporary folder.
func openStage(dir string) (s *stage, err error) {
	s = &stage{dir: dir}
	if dir == "" {
		removeAbandoned()
		if s.dir, err = os.MkdirTemp("", temporaryPrefix); err != nil {
			return nil, exit.Fail("make the folder for temporary files, or name another in TMPDIR", err) // no folder for temporary files can be made
		}
		s.temporary = true
	} else if err = s.makeFolder(); err != nil {
		return nil, err
	}
	// The Bitcoin node works in another folder, and the tools refuse links in some places.
	if s.dir, err = filepath.Abs(s.dir); err == nil {
		s.dir, err = filepath.EvalSymlinks(s.dir)
	}
	if err != nil {
		return nil, exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	if err = s.take(); err == nil {
		err = s.empty()
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// makeFolder makes the folder that was named.
func (s *stage) makeFolder() error {
	s.dir = filepath.Clean(s.dir) // a slash at the end would follow a link
	info, err := os.Lstat(s.dir)
	if err == nil && !info.IsDir() {
		return exit.Failf("name a folder that is missing or empty", "%s is not a directory", s.dir)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err != nil {
		return exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	return nil
}

const otherFolder = "name another folder with --data-dir"

// take locks the folder, and refuses one that is not a drill's.
func (s *stage) take() (err error) {
	if s.root, err = os.OpenRoot(s.dir); err != nil {
		return exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	if s.lock, err = s.root.Open("."); err != nil {
		return exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	if err := durable.Lock(s.lock); errors.Is(err, durable.ErrBusy) {
		return exit.Failf("wait until it is done, or "+otherFolder, "another drill is at work in %s", s.dir)
	} else if err != nil {
		return exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	foreign, err := s.foreign()
	if err != nil {
		return exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	if foreign != "" {
		return exit.Failf("name a folder that is missing or empty", "%s holds what no drill of yours made: %s", s.dir, foreign)
	}
	return nil
}

// empty marks the folder as a drill's, and removes what an earlier one has left there.
func (s *stage) empty() error {
	err := s.root.WriteFile(marker, nil, 0o600)
	for _, name := range parts {
		if err == nil {
			err = s.root.RemoveAll(name)
		}
	}
	for _, name := range []string{samplesPart, temporaryPart} {
		if err == nil {
			err = s.root.Mkdir(name, 0o700)
		}
	}
	if err != nil {
		return exit.Fail(otherFolder, fmt.Errorf("cannot write to %s: %w", s.dir, err))
	}
	return nil
}

// foreign returns the path of the first thing in the folder that no drill of this user
// made, "" for none. In a folder of somebody else's anything could be made to lead elsewhere
// at any moment.
func (s *stage) foreign() (string, error) {
	mine, err := owned(s.lock.Stat())
	if err != nil || !mine {
		return s.dir, err
	}
	entries, err := s.lock.ReadDir(-1)
	if err != nil {
		return "", err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	marked := len(entries) == 0
	for _, entry := range entries {
		info, err := s.root.Lstat(entry.Name())
		mine, err := owned(info, err)
		if err != nil {
			return "", err
		}
		isMarker := entry.Name() == marker && info.Mode().IsRegular()
		isPart := slices.Contains(parts, entry.Name()) && info.Mode()&fs.ModeSymlink == 0
		if !mine || !isMarker && !isPart {
			return filepath.Join(s.dir, entry.Name()), nil
		}
		marked = marked || isMarker
	}
	if !marked {
		return s.dir, nil
	}
	return "", nil
}

// owned reports whether something is this user's.
func owned(info fs.FileInfo, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid(), nil
}

// path is that of a file in the folder.
func (s *stage) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// probeSize is what a drill needs at least in one piece, in bytes.
const probeSize = 1 << 20

// writable reports whether something can be written to the folder, and be read back: where
// not, a step that failed says nothing of the tools.
func (s *stage) writable() error {
	f, err := s.root.OpenFile(probePart, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close(), s.root.Remove(probePart))
}

// kept is what the marker says in a temporary folder that is to stay.
const kept = "kept\n"

// keep lets a temporary folder stay, also when the next drill looks for those that killed
// ones have left.
func (s *stage) keep() error {
	if !s.temporary {
		return nil
	}
	s.temporary = false
	return s.root.WriteFile(marker, []byte(kept), 0o600)
}

// removeAbandoned removes the temporary folders of drills that were killed. What cannot be
// removed stays: it is in nobody's way.
func removeAbandoned() {
	entries, _ := os.ReadDir(os.TempDir())
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), temporaryPrefix) || !entry.IsDir() {
			continue
		}
		s := &stage{dir: filepath.Join(os.TempDir(), entry.Name())}
		if s.take() == nil {
			// Without a marker it is one that a drill is about to lock.
			text, err := s.root.ReadFile(marker)
			s.temporary = err == nil && string(text) != kept
		}
		_ = s.close()
	}
}

// close ends the work in the folder. A temporary one is removed.
func (s *stage) close() error {
	var err error
	if s.temporary {
		err = os.RemoveAll(s.dir)
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if s.root != nil {
		err = errors.Join(err, s.root.Close())
	}
	return err
}
