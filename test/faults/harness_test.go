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

// A scenario is a command that changes a folder, with all that must hold wherever it
// ends. Its paths are below a root with two folders: data, what it works on, and
// tmp, for temporary files.
type scenario struct {
	name string
	// prepare makes what is there before, in root/data.
	prepare func(t *testing.T, root string)
	// command is the command line of the first run (0), or of one that completes what
	// another began (1).
	command func(root string, run int) []string
	// leftover are patterns of the names that a run may leave when it is killed.
	leftover []string
	// resumed are those of them from which another run goes on. Of the others, a run
	// that fails leaves none.
	resumed []string
	// plain takes out of the content of a file what differs from run to run.
	plain func(path, content string) string
	// same gives names that differ from run to run one name.
	same func(path string) string
	// between reports whether a content that is neither the old nor the new one is
	// right for the moment, since it is appended to.
	between func(old, want, content string) bool
	// keeps says of which file or folder, old or new, a path is what was there, ""
	// for none. One that is kept may be missing for the moment.
	keeps func(path string) string
	// always is a call at each of which the run is broken, whatever the sample is.
	always string
	// long says that it is left out in short mode.
	long bool
	// roomy says that the disk whose power is cut is a larger one: it would say of the usual
	// one that it is full.
	roomy bool
	// payments is with what the command pays, nil for one that does not.
	payments *payments

	template string // the root that is copied for each run
	scratch  string // where the copies are
	before   state
	after    state
}

// state is what a node would find: by path, owner, mode and content, for a database
// its records. What was paid has a place of its own in it.
type state map[string]string

// notes is how the name of a file ends with notes of prunes, which have the time, and may
// be missing.
const notes = ".ailee-pruned"

// isKnown reports whether a file is what is known of backups: it has times and digests, and is
// made anew where it is missing.
func isKnown(name string) bool {
	return name == "ailee-catalogue.json" || strings.HasPrefix(name, "ailee-records-")
}

// uid and gid of the node, when the tests run as root.
const uid, gid = 1234, 2345

// reachable makes a folder that the node's user can reach: what becomes that user opens
// databases by their paths.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// ready makes the template, and finds out what an undisturbed run makes of it.
func (s *scenario) ready(t *testing.T) {
	t.Helper()
	s.template, s.scratch = reachable(t), reachable(t)
	for _, dir := range []string{"data", "tmp"} {
		require.NoError(t, os.Mkdir(filepath.Join(s.template, dir), 0o755))
	}
	s.prepare(t, s.template)
	if os.Geteuid() == 0 {
		require.NoError(t, exec.Command("chown", "-R", fmt.Sprintf("%d:%d", uid, gid), s.template).Run())
	}
	s.payments.begin()
	found, _ := s.look(t, s.template)
	s.before = s.canonical(found)
	root := s.copy(t, reachable(t))
	code, said := s.run(t, root, 0)
	require.Zero(t, code, said)
	found, left := s.look(t, root)
	require.Empty(t, left)
	s.after = s.canonical(found)
	require.NotEqual(t, s.before, s.after, said)
}

// copy copies the template to a folder, which may be there, and returns it.
func (s *scenario) copy(t *testing.T, root string) string {
	t.Helper()
	said, err := exec.Command("cp", "-a", s.template+"/.", root).CombinedOutput()
	require.NoError(t, err, string(said))
	return root
}

func (s *scenario) env(root string) []string {
	return []string{"PATH=" + binaries + ":" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(root, "tmp")}
}

// run runs the command with nothing in its way.
func (s *scenario) run(t *testing.T, root string, run int) (code int, said string) {
	t.Helper()
	args := s.command(root, run)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = s.env(root)
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

// look returns what there is, and the names that are left over.
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
			return fmt.Errorf("something new: %s", name)
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

// records are the records of a database that is whole, without the times of events,
// or else what is wrong with it.
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

// foreigners are the files of a database that its owner does not own.
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

// nameOf is the name of a path that does not differ from run to run.
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

// check tells what is wrong with what a run left: everything must be as it was or as
// it is to be, and with done all of it as it is to be, with nothing left over.
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
			// The last that a run does.
			content, _, _ = strings.Cut(content, foreign)
		}
		if s.keeps != nil {
			what = s.keeps(path)
			kept[what] = kept[what] || content == s.before[what]
		}
		old, before := s.before[name]
		want, after := s.after[name]
		switch {
		case after && content == want:
		case !done && before && content == old:
		case !done && s.between != nil && s.between(old, want, content):
		case what != "" && (content == s.after[what] || content == s.before[what]):
		default:
			return fmt.Errorf("%s is neither what it was nor what it is to be: %s", path, excerpt(content))
		}
		names[name] = true
	}
	for name := range s.after {
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
