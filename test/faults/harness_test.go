package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// A scenario is a command that changes a folder, with everything that must be true wherever it ends.
// Its paths are below a root with two folders: data, which it works on, and tmp, for temporary files.
type scenario struct {
	name string
	// prepare makes the initial contents of root/data.
	prepare func(t *testing.T, root string)
	// settle continues in each copy of these contents, with what must not be copied. It may be nil.
	settle func(t *testing.T, root string)
	// command returns the command line of the first run (0), or of a run that completes another (1).
	command func(root string, run int) []string
	// leftover has patterns of the names that a killed run may leave.
	leftover []string
	// resumed are those from which another run continues. A run that fails must not leave the others.
	resumed []string
	// plain removes from the content of a file what differs from run to run.
	plain func(path, content string) string
	// same maps names that differ from run to run to the same name.
	same func(path string) string
	// between reports whether a content that is neither the old nor the new one is acceptable, since
	// the file is being appended to.
	between func(old, want, content string) bool
	// keeps returns the file or folder that a path is the kept version of, "" for none. The original
	// may be missing for the moment.
	keeps func(path string) string
	// replaced has by its name what something new takes the place of, and the name of the new. One
	// of the two, complete, must always be there. Even after a complete run the old one may be
	// there or not.
	replaced map[string]string
	// always is a call that every sample includes.
	always string
	// long says that the scenario is left out in short mode.
	long bool
	// roomy says that the power cut test needs a larger disk: the command would report that the usual
	// one is full.
	roomy bool
	// payments is what the command pays with, nil if it does not pay.
	payments *payments

	template string // the root that is copied for each run
	scratch  string // the folder for the copies
	before   state
	after    state
}

// state is what a node would find: owner, mode and content by path, for a database its records. What
// was paid has its own entry.
type state map[string]string

// notes is the suffix of files with the notes of prunes, which contain times and may be missing.
const notes = ".ailee-pruned"

// isKnown reports whether a file is a catalogue of backups, which contains times and digests, and is
// made again if it is missing.
func isKnown(name string) bool {
	return name == "ailee-catalogue.json" || strings.HasPrefix(name, "ailee-records-")
}

// uid and gid of the node if the tests run as root.
const uid, gid = 1234, 2345

// reachable makes a folder that the node's user can reach: a tool that becomes that user opens
// databases by path.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// ready makes the template, and records the result of an undisturbed run.
func (s *scenario) ready(t *testing.T) {
	t.Helper()
	s.template, s.scratch = reachable(t), reachable(t)
	for _, dir := range []string{"data", "tmp"} {
		require.NoError(t, os.Mkdir(filepath.Join(s.template, dir), 0o755))
	}
	s.prepare(t, s.template)
	give(t, s.template)
	s.payments.begin()
	root := s.copy(t, reachable(t))
	found, _ := s.look(t, root)
	s.before = s.canonical(found)
	code, said := s.run(t, root, 0)
	require.Zero(t, code, said)
	found, left := s.look(t, root)
	require.Empty(t, left)
	s.after = s.canonical(found)
	require.NotEqual(t, s.before, s.after, said)
}

// copy copies the template to a folder, which may exist, and returns the folder.
func (s *scenario) copy(t *testing.T, root string) string {
	t.Helper()
	said, err := exec.Command("cp", "-a", s.template+"/.", root).CombinedOutput()
	require.NoError(t, err, string(said))
	if s.settle != nil {
		s.settle(t, root)
	}
	return root
}

// give makes everything in a folder the node's.
func give(t *testing.T, root string) {
	t.Helper()
	if os.Geteuid() == 0 {
		require.NoError(t, exec.Command("chown", "-R", fmt.Sprintf("%d:%d", uid, gid), root).Run())
	}
}

func (s *scenario) env(root string) []string {
	return []string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(root, "tmp")}
}

// run runs the command undisturbed.
func (s *scenario) run(t *testing.T, root string, run int) (code int, said string) {
	t.Helper()
	args := s.command(root, run)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = s.env(root)
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

// look returns what there is, and the leftovers.
func (s *scenario) look(t *testing.T, root string) (found state, left []string) {
	t.Helper()
	found = state{}
	data, databases := filepath.Join(root, "data"), ""
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		switch {
		case strings.HasSuffix(name, notes):
			return nil
		case matches(d.Name(), s.leftover) && name != "":
			left = append(left, name)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path == root || name == "tmp" || isKnown(d.Name()):
			return nil
		case path != data && !strings.HasPrefix(path, data+"/"):
			return fmt.Errorf("unexpected file: %s", name)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		content, skip := "", error(nil)
		switch {
		case d.IsDir() && strings.HasPrefix(d.Name(), "reorg_db"):
			content, skip = records(t.Context(), path)+foreigners(path, stat), fs.SkipDir
			databases += content
		case strings.HasPrefix(d.Name(), "reorg_db") && strings.HasSuffix(name, ".tar.gz"):
			content = packedRecords(t, path)
		case d.Type() == fs.ModeSymlink:
			content, err = os.Readlink(path)
			if err != nil {
				return err
			}
		case !d.IsDir():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(text)
		}
		if s.plain != nil {
			content = s.plain(name, content)
		}
		found[name] = fmt.Sprintf("%v %d:%d\n%s", info.Mode(), stat.Uid, stat.Gid, content)
		return skip
	})
	require.NoError(t, err)
	if s.payments != nil {
		found["payments"] = s.payments.account(databases)
	}
	return found, left
}

func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		match, _ := filepath.Match(pattern, name)
		return match
	})
}

var detectedAt = regexp.MustCompile(`^(\d+\|\w+\|\w+)\|\d+`)

// records returns the records of an intact database, without the times of events, or else what is
// wrong with it.
func records(ctx context.Context, path string) string {
	problems, err := reorgtool.Damage(ctx, path)
	if err != nil || reorgtool.Lossy(problems) {
		return fmt.Sprintf("damaged: %v %v", problems, err)
	}
	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return "damaged: " + err.Error()
	}
	defer db.Close()
	var all bytes.Buffer
	for _, family := range db.Families() {
		for r, err := range db.Records(ctx, family) {
			if err != nil {
				return "damaged: " + err.Error()
			}
			if bytes.HasPrefix(r.Key, []byte("reorg:")) {
				r.Value = detectedAt.ReplaceAll(r.Value, []byte("$1|TIME"))
			}
			fmt.Fprintf(&all, "%s/%s %s\n", family, r.Key, r.Value)
		}
	}
	return all.String()
}

const foreign = "\nof another owner:"

// foreigners returns the files in a database that belong to another owner.
func foreigners(path string, owner *syscall.Stat_t) (names string) {
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			if stat := info.Sys().(*syscall.Stat_t); stat.Uid != owner.Uid || stat.Gid != owner.Gid {
				names += foreign + entry.Name()
			}
		}
	}
	return names
}

func packedRecords(t *testing.T, path string) string {
	dir := t.TempDir()
	defer os.RemoveAll(dir)
	if said, err := exec.Command("tar", "-C", dir, "-xzf", path).CombinedOutput(); err != nil {
		return "damaged: " + string(said)
	}
	return records(t.Context(), filepath.Join(dir, "reorg_db"))
}

// nameOf returns a name for a path that does not differ from run to run.
func (s *scenario) nameOf(path string) string {
	if s.same != nil {
		return s.same(path)
	}
	return path
}

func (s *scenario) canonical(found state) state {
	named := state{}
	for path, content := range found {
		named[s.nameOf(path)] = content
	}
	return named
}

// check returns what is wrong with what a run left. Everything must be in its old or new state; with
// done, everything must be in its new state and nothing left over.
func (s *scenario) check(t *testing.T, root string, done bool) error {
	t.Helper()
	found, left := s.look(t, root)
	if done && len(left) > 0 {
		return fmt.Errorf("left over: %q", left)
	}
	return s.compare(found, done)
}

func (s *scenario) compare(found state, done bool) error {
	names, kept := map[string]bool{}, map[string]bool{}
	for path, content := range found {
		name, what := s.nameOf(path), ""
		if !done {
			// Setting owners is the last thing that a run does.
			content, _, _ = strings.Cut(content, foreign)
		}
		if s.keeps != nil {
			what = s.keeps(path)
			kept[what] = kept[what] || content == s.before[what]
		}
		old, before := s.before[name]
		want, after := s.after[name]
		_, replaced := s.replaced[name]
		switch {
		case after && content == want:
		case before && content == old && (!done || replaced):
		case !done && s.between != nil && s.between(old, want, content):
		case what != "" && (content == s.after[what] || content == s.before[what]):
		default:
			return fmt.Errorf("%s is in neither its old nor its new state: %s", path, excerpt(content))
		}
		names[name] = true
	}
	for old, replacement := range s.replaced {
		if !names[old] && !names[replacement] {
			return fmt.Errorf("neither %s nor %s is there", old, replacement)
		}
	}
	for name := range s.after {
		if _, replaced := s.replaced[name]; replaced {
			continue
		}
		if _, before := s.before[name]; !names[name] && (done || before && !kept[name]) {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return nil
}

func excerpt(content string) string {
	if len(content) < 600 {
		return fmt.Sprintf("%q", content)
	}
	return fmt.Sprintf("%q...%q (%d bytes, %x)", content[:300], content[len(content)-200:], len(content), sha256.Sum256([]byte(content)))
}
