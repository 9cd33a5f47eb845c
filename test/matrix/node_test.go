package matrix

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/reorgdb"
)

// release is a release of RocksDB.
type release struct {
	version string // such as 6.11.4
	node    string // the path of the node linked with it: packaging/matrix/node/node.cc
}

// The kinds of nodes: with only the default column family, and with a second one.
const (
	older   = "older"
	current = "current"
)

// releases returns the releases whose nodes are in AILEE_MATRIX, separated by colons. The files
// that a node writes say its version.
func releases(t *testing.T) (all []release) {
	t.Helper()
	nodes := os.Getenv("AILEE_MATRIX")
	if nodes == "" {
		t.Skip("other releases of RocksDB: make matrix")
	}
	for _, node := range filepath.SplitList(nodes) {
		r := release{node: node}
		path := filepath.Join(t.TempDir(), "reorg_db")
		require.NoError(t, r.open(t, path, older).close())
		r.version = writtenBy(t, path)
		all = append(all, r)
	}
	return all
}

// writtenBy returns the version of the RocksDB that last had a database open for writing.
func writtenBy(t *testing.T, path string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "OPTIONS-*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for line := range strings.Lines(clitest.Read(t, files[len(files)-1])) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "rocksdb_version="); ok {
			return version
		}
	}
	require.Fail(t, "no version", files)
	return ""
}

// session is a node from its start to its end.
type session struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	errs bytes.Buffer
}

// open starts a node on a database.
func (r release) open(t *testing.T, path, kind string) *session {
	t.Helper()
	s := &session{t: t, cmd: exec.Command(r.node, path, kind)}
	s.cmd.Stderr = &s.errs
	var err error
	s.in, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	s.out = bufio.NewReader(out)
	require.NoError(t, s.cmd.Start())
	return s
}

// close lets the node end, and returns its error, if any.
func (s *session) close() error {
	_ = s.in.Close()
	_, _ = io.Copy(io.Discard, s.out)
	if err := s.cmd.Wait(); err != nil {
		return errors.New(strings.TrimSpace(s.errs.String()))
	}
	return nil
}

// kill ends the node without letting it close the database.
func (s *session) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// do tells the node what to do. The next dump shows the result.
func (s *session) do(ops ...op) {
	for _, o := range ops {
		// A node that has ended says why in close.
		_, _ = fmt.Fprintln(s.in, o.line)
	}
}

// dump returns every record as the node reads it, by FAMILY/KEY. The error is that of close.
func (s *session) dump() (records, error) {
	s.do(op{line: "dump"})
	all := records{}
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		if line == "end\n" {
			return all, nil
		}
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		require.Len(s.t, fields, 3, line)
		all[fields[0]+"/"+unhex(s.t, fields[1])] = unhex(s.t, fields[2])
	}
}

func unhex(t *testing.T, digits string) string {
	t.Helper()
	bytes, err := hex.DecodeString(digits)
	require.NoError(t, err)
	return string(bytes)
}

// op is something that a node does: the command for the node, and the same with the code of the
// tools.
type op struct {
	line  string
	apply func(u *reorgdb.Update) error // nil: the records stay the same
}

var flush, compact = op{line: "flush"}, op{line: "compact"}

func block(t *testing.T, height uint64, hash string) op {
	const time = 1_739_578_200 // Unix seconds
	return op{fmt.Sprintf("block %d %s %d", height, hash, time), func(u *reorgdb.Update) error {
		_, _, err := u.Block(t.Context(), reorgdb.Block{Height: height, Hash: hash}, time)
		return err
	}}
}

func put(family, key, value string) op {
	return op{fmt.Sprintf("put %s %x %x", family, key, value), func(u *reorgdb.Update) error {
		return u.Put(family, []byte(key), []byte(value))
	}}
}

// prune removes the hash of a height, as a node does that keeps only the latest.
func prune(height uint64) op {
	return op{fmt.Sprintf("delete %x", fmt.Sprintf("block:%020d", height)), func(u *reorgdb.Update) error {
		u.DeleteBlock(height)
		return nil
	}}
}

// records are the records of a database, by FAMILY/KEY.
type records map[string]string

// after returns the records after a node has done something, as reorgdb makes them in a new database
// with the same records.
func (all records) after(t *testing.T, kind string, ops ...op) records {
	t.Helper()
	path := filepath.Join(inMemory(t), "reorg_db")
	families := map[string][]reorgdb.Record{reorgdb.DefaultFamily: nil}
	if kind == current {
		families[reputation] = nil
	}
	for key, value := range all {
		family, key, _ := strings.Cut(key, "/")
		families[family] = append(families[family], reorgdb.Record{Key: []byte(key), Value: []byte(value)})
	}
	var names []string
	for family := range families {
		names = append(names, family)
	}
	db, err := reorgdb.Create(path, names...)
	require.NoError(t, err)
	for family, records := range families {
		require.NoError(t, db.BulkLoad(family, func(yield func(reorgdb.Record, error) bool) {
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}))
	}
	for _, o := range ops {
		if o.apply != nil {
			require.NoError(t, db.Update(o.apply), o.line)
		}
	}
	require.NoError(t, db.Sync())
	require.NoError(t, db.Close())
	return reorgtest.Records(t, path)
}

func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(clitest.Memory(), "matrix-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// requireSame fails with only the records that differ.
func requireSame(t *testing.T, want, got records, msg string) {
	t.Helper()
	var differ []string
	for key, value := range want {
		if there, ok := got[key]; !ok || there != value {
			differ = append(differ, fmt.Sprintf("%q is %q, want %q", key, there, value))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			differ = append(differ, fmt.Sprintf("%q was never there", key))
		}
	}
	require.Empty(t, differ[:min(len(differ), 10)], "%s: %d records of %d", msg, len(differ), len(want))
}

// build builds these tests for a release, to run with its libraries.
func (r release) build(t *testing.T, modfile string) *exec.Cmd {
	t.Helper()
	root, dir := filepath.Join(filepath.Dir(r.node), "root"), t.TempDir()
	// Only the headers of RocksDB are the release's: those of the C library are this machine's, and
	// the C library that the tests then run with is newer.
	require.NoError(t, os.Symlink(filepath.Join(root, "usr/include/rocksdb"), filepath.Join(dir, "rocksdb")))
	lib, made := filepath.Join(root, "usr/lib/x86_64-linux-gnu"), filepath.Join(dir, "matrix.test")
	link := strings.Join([]string{"-L" + lib, "-Wl,--allow-shlib-undefined", "-Wl,--dynamic-linker=" + lib + "/ld-linux-x86-64.so.2",
		"-Wl,-rpath=" + lib, "-Wl,--disable-new-dtags"}, " ")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-modfile="+modfile, "-o", made, "-ldflags", "-s -w -linkmode external -extldflags '"+link+"'")
	cmd.Env = append(os.Environ(), "CPATH="+dir)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
	cmd = exec.Command(made, "-test.run=^TestMatrix$")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}
