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

// marker is the file that marks the folder of a drill.
const marker = ".ailee_test_recovery"

// What a drill makes in its folder, besides the marker.
const (
	nodePart      = "node"      // the node's data directory
	samplesPart   = "samples"   // the snapshots that it writes
	extractedPart = "extracted" // a snapshot that was extracted from its file
	copyPart      = "copy"      // a copy of its database
	bitcoinPart   = "bitcoin"   // the Bitcoin node's folder
	temporaryPart = "temporary" // what killed tools leave
	probePart     = "probe"     // tests whether anything can be written
)

// parts also has the names under which killed tools leave the folders that they make.
var parts = []string{nodePart, samplesPart, extractedPart, copyPart, bitcoinPart, temporaryPart, probePart,
	durable.TemporaryName(extractedPart), durable.TemporaryName(copyPart)}

// stage is the folder of a drill, locked for as long as the drill runs.
type stage struct {
	dir       string // absolute, without links
	temporary bool   // to be removed at the end
	root      *os.Root
	lock      *os.File
}

// temporaryPrefix is the prefix of the names of temporary folders.
const temporaryPrefix = "ailee-drill-"

// openStage makes the folder, or takes that of an earlier drill and empties it. It does not
// touch anything that was not made by a drill. dir is "" for a temporary folder.
func openStage(dir string) (s *stage, err error) {
	s = &stage{dir: dir}
	if dir == "" {
		removeAbandoned()
		if s.dir, err = os.MkdirTemp("", temporaryPrefix); err != nil {
			return nil, exit.Fail("create the folder for temporary files, or name another in TMPDIR", err) // no temporary folder can be made
		}
		s.temporary = true
	} else if err = s.makeFolder(); err != nil {
		return nil, err
	}
	// The Bitcoin node has another working directory, and the tools refuse links in some places.
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

// makeFolder makes the named folder.
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
		return exit.Failf("wait until it is done, or "+otherFolder, "another drill is running in %s", s.dir)
	} else if err != nil {
		return exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	foreign, err := s.foreign()
	if err != nil {
		return exit.Fail(otherFolder, err) // the folder of --data-dir cannot be used
	}
	if foreign != "" {
		return exit.Failf("name a folder that is missing or empty", "%s contains something that none of your drills made: %s", s.dir, foreign)
	}
	return nil
}

// empty marks the folder as that of a drill, and removes what an earlier one left there.
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

// foreign returns the path of the first thing in the folder that no drill of this user made,
// "" if there is none. The folder itself must belong to this user too: the owner of a folder can
// replace anything in it with a link elsewhere at any moment.
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

// owned reports whether something belongs to this user.
func owned(info fs.FileInfo, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid(), nil
}

// path returns the path of a file in the folder.
func (s *stage) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// probeSize is how many bytes a drill must be able to write.
const probeSize = 1 << 20

// writable checks that the folder can be written to. If it cannot, a failed step says nothing
// about the tools.
func (s *stage) writable() error {
	f, err := s.root.OpenFile(probePart, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close(), s.root.Remove(probePart))
}

// kept is the content of the marker in a temporary folder that stays.
const kept = "kept\n"

// keep keeps a temporary folder, even when the next drill removes those of killed drills.
func (s *stage) keep() error {
	if !s.temporary {
		return nil
	}
	s.temporary = false
	return s.root.WriteFile(marker, []byte(kept), 0o600)
}

// removeAbandoned removes the temporary folders of killed drills. What cannot be removed stays:
// it does no harm.
func removeAbandoned() {
	entries, _ := os.ReadDir(os.TempDir())
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), temporaryPrefix) || !entry.IsDir() {
			continue
		}
		s := &stage{dir: filepath.Join(os.TempDir(), entry.Name())}
		if s.take() == nil {
			// Without a marker it belongs to a drill that is about to lock it.
			text, err := s.root.ReadFile(marker)
			s.temporary = err == nil && string(text) != kept
		}
		_ = s.close()
	}
}

// close releases the folder, and removes it if it is temporary.
func (s *stage) close() error {
	var err error
	if s.temporary {
		err = os.RemoveAll(s.dir)
	}
	if s.lock != nil {
		err = errors.Join(err, durable.Unlock(s.lock))
	}
	if s.root != nil {
		err = errors.Join(err, s.root.Close())
	}
	return err
}
