// Package matrix makes nodes with every RocksDB in a Debian release, and the tools, write to the same
// databases in turn. make matrix builds the nodes and runs it.
package matrix

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

func TestMain(m *testing.M) {
	commands := map[string]func(){}
	for _, tool := range []cli.Tool{initnode.Tool(), initreorgdb.Tool(), reorgshow.Tool(), reorgverify.Tool(), resyncblocks.Tool()} {
		commands[tool.Name] = func() { cli.Main(tool) }
	}
	testscript.Main(m, commands)
}

// The outcomes in the tables.
const (
	both   = "yes"
	oneWay = "until it writes a table"
	tooNew = "refused as too new"
	inPart = "copied in part"
	found  = "found, not copied"
)

// try is one cell of a table: nodes with one RocksDB, and the tools, on one database.
type try struct {
	*testing.T
	release
	source release // the node that writes databases for copies
	path   string  // of the database
	chain  *bitcointest.Chain
	url    string // of the chain
	kind   string // of the nodes
	time   uint64 // how often a node worked
	done   []op   // by nodes, before the tools
	// damaged is set for a database with a damaged table, which no node can read completely.
	damaged bool
}

const reputation = "reputation_cf"

// tools are the ways in which the tools write a database.
var tools = []struct {
	name string
	make func(t *try)
}{
	{"new", func(t *try) { t.tool(exit.OK, initreorgdb.Name, "--path", t.path) }},
	{"new, with the rest of a node's data", func(t *try) {
		dir := filepath.Join(t.TempDir(), "ailee")
		t.tool(exit.OK, initnode.Name, "--data-dir", dir)
		t.path = filepath.Join(dir, "reorg_db")
	}},
	{"copied", func(t *try) {
		t.tool(exit.OK, initreorgdb.Name, "--path", t.path, "--copy-from", t.old(t.work()...))
	}},
	{"copied, with `reputation_cf` and `c_anchor:` records", func(t *try) {
		t.kind = current
		t.tool(exit.OK, initreorgdb.Name, "--path", t.path, "--copy-from", t.old(t.work()...))
	}},
	{"repaired: copied from a damaged one", func(t *try) {
		old := t.old(t.manyBlocks()...)
		damage(t, old)
		t.rescue(old, t.path)
	}},
	{"repaired: block counts moved to their heights", func(t *try) {
		var counts []op
		for count := range uint64(40) {
			counts = append(counts, block(t.T, count+1, t.chain.Hash(int64(890_000+count))))
		}
		require.NoError(t, t.session(t.release, counts...).close())
		t.resync(exit.OK, "--repair-heights")
		_, ok := reorgtest.Records(t.T, t.path)["default/block:00000000000000890000"]
		require.True(t, ok)
	}},
	{"resynced, record by record", func(t *try) {
		t.tool(exit.OK, initreorgdb.Name, "--path", t.path)
		t.resync(exit.OK, "--start-height", "880000", "--end-height", "880500")
		t.chain.Reorganise(880_490, tip)
		t.resync(exit.OK, "--end-height", "880510")
		require.False(t, ingested(t))
	}},
	{"resynced, as a table", func(t *try) {
		t.tool(exit.OK, initreorgdb.Name, "--path", t.path)
		t.resync(exit.OK, "--start-height", "880000", "--end-height", "892000")
		require.True(t, ingested(t))
	}},
	{"resynced, on top of what that node wrote", func(t *try) {
		require.NoError(t, t.session(t.release, t.work()...).close())
		t.resync(exit.OK, "--start-height", "900000", "--end-height", "900150")
	}},
}

// nodes are the states in which a node leaves a database.
var nodes = []struct {
	name string
	make func(t *try) *session // the node, if it keeps running
}{
	{"in its log", func(t *try) *session {
		require.NoError(t, t.session(t.release, t.work()...).close())
		return nil
	}},
	{"in its log, killed", func(t *try) *session {
		s := t.session(t.release, t.work()...)
		_, err := s.dump()
		require.NoError(t, err)
		s.kill()
		return nil
	}},
	{"in its log, then opened again", func(t *try) *session {
		require.NoError(t, t.session(t.release, t.work()...).close())
		require.NoError(t, t.session(t.release).close())
		return nil
	}},
	{"flushed to tables", func(t *try) *session {
		require.NoError(t, t.session(t.release, append(t.work(), flush)...).close())
		return nil
	}},
	{"compacted, with more in its log", func(t *try) *session {
		require.NoError(t, t.session(t.release, slices.Concat(t.work(), []op{flush}, t.work(), []op{compact}, t.work())...).close())
		return nil
	}},
	{"with `reputation_cf` and `c_anchor:` records", func(t *try) *session {
		t.kind = current
		require.NoError(t, t.session(t.release, slices.Concat(t.work(), []op{flush}, t.work())...).close())
		return nil
	}},
	{"with a damaged table", func(t *try) *session {
		require.NoError(t, t.session(t.release, append(t.manyBlocks(), flush)...).close())
		damage(t, t.path)
		t.damaged = true
		return nil
	}},
	{"running", func(t *try) *session {
		s := t.session(t.release, slices.Concat(t.work(), []op{flush}, t.work())...)
		_, err := s.dump()
		require.NoError(t, err)
		return s
	}},
}

// tip is the height of the chain.
const tip = 901_000

// TestMatrix makes the tables for the RocksDB that this test is linked with, and compares them with
// docs/compatibility.md.
func TestMatrix(t *testing.T) {
	all := releases(t)
	path := filepath.Join(t.TempDir(), "reorg_db")
	clitest.RunProcess(t, exit.OK, initreorgdb.Name, "--path", path)
	own := writtenBy(t, path)
	var byTools, byNodes, among table
	t.Run("releases", func(t *testing.T) {
		for _, r := range all {
			t.Run(r.version, func(t *testing.T) {
				t.Parallel()
				for _, how := range tools {
					t.Run("tools/"+how.name, func(t *testing.T) {
						c := newTry(t, all[1], r)
						how.make(c)
						byTools.set(how.name, r.version, c.there())
					})
				}
				for _, state := range nodes {
					t.Run("nodes/"+state.name, func(t *testing.T) {
						c := newTry(t, all[1], r)
						byNodes.set(state.name, r.version, c.andBack(state.make(c)))
					})
				}
				for _, writer := range all {
					t.Run("written by "+writer.version, func(t *testing.T) {
						among.set(writer.version, r.version, newTry(t, all[1], r).opens(writer))
					})
				}
			})
		}
	})
	var versions, ways, states []string
	for _, r := range all {
		versions = append(versions, r.version)
	}
	for _, how := range tools {
		ways = append(ways, how.name)
	}
	for _, state := range nodes {
		states = append(states, state.name)
	}
	section := "#### Tools with RocksDB " + own + "\n\n" +
		byTools.text("written by the tools", ways, versions) + "\n" + byNodes.text("written by a node", states, versions)
	others := among.text("written by a node with", versions, versions)
	fmt.Printf("\n%s\n#### Nodes alone\n\n%s\n", section, others)
	if t.Failed() {
		return // the reasons were reported
	}
	const file = "docs/compatibility.md"
	document := clitest.Read(t, filepath.Join("../..", file))
	for _, part := range []string{section, others} {
		require.True(t, strings.Contains(document, "\n"+part+"\n"), "%s differs: it should have\n%s", file, part)
	}
}

// TestOtherBuilds is TestMatrix with tools that are built for the RocksDB of another Debian release.
func TestOtherBuilds(t *testing.T) {
	for _, r := range releases(t) {
		minor := r.version[:strings.LastIndex(r.version, ".")]
		modfile := "../../packaging/rocksdb/" + minor + ".mod"
		if _, err := os.Stat(modfile); err != nil {
			continue // not supported, or the one of go.mod
		}
		t.Run(minor, func(t *testing.T) {
			require.NoError(t, r.build(t, modfile).Run())
		})
	}
}

// newTry makes a try. Copies are from a node with the RocksDB of source, whose databases all builds of
// the tools can read, and the oldest nodes cannot.
func newTry(t *testing.T, source, r release) *try {
	chain := bitcointest.NewChain(tip)
	return &try{T: t, release: r, source: source, path: filepath.Join(t.TempDir(), "reorg_db"), chain: chain, url: chain.Serve(t), kind: older}
}

// old makes a database for copies. What the node did first is in a table.
func (t *try) old(first ...op) string {
	old := *t
	old.path = filepath.Join(t.TempDir(), "old")
	require.NoError(t, old.session(t.source, slices.Concat(first, []op{flush}, t.work())...).close())
	return old.path
}

// manyBlocks returns enough blocks to fill more than one block of a table.
func (t *try) manyBlocks() (ops []op) {
	for height := range uint64(500) {
		ops = append(ops, block(t.T, 899_000+height, t.chain.Hash(int64(899_000+height))))
	}
	return ops
}

// rescue copies what can be read from a damaged database.
func (t *try) rescue(from, to string) {
	t.Helper()
	require.Regexp(t, "lost: [0-9]+ ", t.tool(exit.Wrong, initreorgdb.Name, "--path", to, "--copy-from", from))
	require.Greater(t, len(reorgtest.Records(t.T, to)), 400)
}

// tool runs a tool and returns its standard error.
func (t *try) tool(want int, name string, args ...string) string {
	t.Helper()
	code, stderr := t.run(name, args...)
	require.Equal(t, want, code, stderr)
	return stderr
}

func (t *try) run(name string, args ...string) (code int, stderr string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &said
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), said.String()
}

func (t *try) resync(want int, args ...string) string {
	t.Helper()
	return t.tool(want, resyncblocks.Name, append(args, "--db-path", t.path, "--bitcoin-rpc", t.url)...)
}

// session starts a node that does something.
func (t *try) session(r release, ops ...op) *session {
	s := r.open(t.T, t.path, t.kind)
	s.do(ops...)
	t.done = append(t.done, ops...)
	return s
}

// work returns what a node does in a session, each time something new: blocks, anchors, a reorg that
// invalidates some, and pruning old blocks. In the end it has the blocks of the chain.
func (t *try) work() (ops []op) {
	base := 900_000 + 20*t.time
	hash := func(height uint64) string { return t.chain.Hash(int64(height)) }
	for height := base; height < base+20; height++ {
		if height >= base+17 {
			ops = append(ops, block(t.T, height, fmt.Sprintf("%064x", height)))
			continue
		}
		ops = append(ops, block(t.T, height, hash(height)))
	}
	for i := range uint64(4) {
		id := fmt.Sprintf("%064x", base+i)
		ops = append(ops, put("default", "anchor:"+id, fmt.Sprintf("%s|%s|%d|%d|1739578200000|0|%d|root-%[1]s", id, id, base+15+i, 4-i, i%2)))
	}
	for height := base + 17; height < base+20; height++ {
		ops = append(ops, block(t.T, height, hash(height)))
	}
	ops = append(ops, prune(base))
	if t.kind == current {
		ops = append(ops, put(reputation, fmt.Sprintf("peer-%d", base), "0.75"),
			put("default", fmt.Sprintf("c_anchor:%064x", base), strings.Repeat("\x00\xff|\n", 32)))
	}
	t.time++
	return ops
}

// there makes a node continue with what the tools wrote, the tools with what the node wrote, and a
// restarted node with what the tools wrote then.
func (t *try) there() string {
	want := t.goOn(reorgtest.Records(t.T, t.path))
	early := t.tooNew()
	if !early {
		want = t.write(want)
	}
	t.kind = current // which adds a column family
	want = t.goOn(want)
	if t.tooNew() {
		return oneWay
	}
	require.False(t, early, "too new at first, but not later")
	requireSame(t.T, want, reorgtest.Records(t.T, t.path), "the tools read")
	return both
}

// andBack makes the tools continue with what a node wrote, and the node with what the tools wrote.
func (t *try) andBack(running *session) string {
	if t.damaged {
		if code, _ := t.run(reorgverify.Name, "--db-path", t.path); code == exit.Wrong {
			return t.rescued()
		}
	}
	want := records{}.after(t.T, t.kind, t.done...)
	if t.tooNew() {
		if running != nil {
			t.refuse()
			require.Contains(t, t.resync(exit.Failed), "stop the node first")
			require.NoError(t, running.close())
		}
		t.refuse()
		if !t.damaged {
			t.goOn(want)
		}
		return tooNew
	}
	requireSame(t.T, want, reorgtest.Records(t.T, t.path), "the tools read")
	copied := *t
	copied.path = filepath.Join(t.TempDir(), "copied")
	t.tool(exit.OK, initreorgdb.Name, "--path", copied.path, "--copy-from", t.path)
	copied.goOn(want)
	if running != nil {
		require.Contains(t, t.resync(exit.Failed), "stop the node first")
		require.NoError(t, running.close())
	}
	t.goOn(t.write(want))
	if t.tooNew() {
		return oneWay
	}
	return both
}

// rescued makes the tools copy what can be read from a damaged database, and a node continue with the
// copy.
func (t *try) rescued() string {
	copied := *t
	copied.path = filepath.Join(t.TempDir(), "copied")
	if code, stderr := t.run(initreorgdb.Name, "--path", copied.path, "--copy-from", t.path); code == exit.Failed {
		require.Regexp(t, `: the database is damaged, and [0-9]{6}\.sst has table format version 6, .*\n.*: hint: restore a backup`, stderr)
		require.NoDirExists(t, copied.path)
		return found
	}
	require.NoError(t, os.RemoveAll(copied.path))
	t.rescue(t.path, copied.path)
	copied.goOn(reorgtest.Records(t.T, copied.path))
	return inPart
}

// notRead matches RocksDB's message about a database that is too new for it.
var notRead = regexp.MustCompile(`unknown checksum type \d+|Unknown Footer version|unsupported format_version: \d+`)

// opens reports whether a node with one RocksDB can read what a node with another one wrote.
func (t *try) opens(writer release) string {
	require.NoError(t, t.session(writer, append(t.work(), flush)...).close())
	want := records{}.after(t.T, t.kind, t.done...)
	s := t.session(t.release)
	got, err := s.dump()
	if err != nil {
		why := notRead.FindString(err.Error())
		require.NotEmpty(t, why, err)
		return "refused: " + why
	}
	requireSame(t.T, want, got, "the node reads")
	require.NoError(t, s.close())
	return both
}

// goOn makes a node open the database, which must have these records, work, flush, compact and work
// again. It returns the records that the node leaves.
func (t *try) goOn(want records) records {
	t.Helper()
	s := t.session(t.release)
	got, err := s.dump()
	require.NoError(t, err)
	requireSame(t.T, want, got, "the node reads")
	ops := slices.Concat(t.work(), []op{flush, compact}, t.work())
	want = want.after(t.T, t.kind, ops...)
	s.do(ops...)
	got, err = s.dump()
	require.NoError(t, err)
	requireSame(t.T, want, got, "the node has written")
	require.NoError(t, s.close())
	return want
}

// write makes the tools read the database, which must have these records, and write blocks. It returns
// the records that they leave.
func (t *try) write(want records) records {
	t.Helper()
	requireSame(t.T, want, reorgtest.Records(t.T, t.path), "the tools read")
	want = maps.Clone(want)
	first := 700_000 + 10*t.time
	for height := first; height < first+10; height++ {
		want[fmt.Sprintf("default/block:%020d", height)] = t.chain.Hash(int64(height))
	}
	t.resync(exit.OK, "--start-height", fmt.Sprint(first), "--end-height", fmt.Sprint(first+9))
	return want
}

// tooNew reports whether the tools refuse the database because a newer RocksDB wrote it.
// Otherwise it verifies.
func (t *try) tooNew() bool {
	t.Helper()
	code, stderr := t.run(reorgverify.Name, "--db-path", t.path)
	if code == exit.OK {
		return false
	}
	t.requireTooNew(code, stderr, reorgverify.Name)
	return true
}

func (t *try) requireTooNew(code int, stderr, name string) {
	t.Helper()
	require.Equal(t, exit.Failed, code, stderr)
	require.Regexp(t, "^"+name+`: error: `+regexp.QuoteMeta(t.path)+`/[0-9]{6}\.sst has table format version 6, written by RocksDB `+regexp.QuoteMeta(t.version)+
		`: this build reads up to version 5\n`+name+`: hint: nothing is damaged: use the build for your distribution's RocksDB\n$`, stderr)
}

// refuse checks that every tool refuses the database and leaves it unchanged.
func (t *try) refuse() {
	before := files(t.T, t.path)
	copied := filepath.Join(t.TempDir(), "refused")
	commands := [][]string{
		{reorgshow.Name, "--db-path", t.path, "anchors"},
		{initreorgdb.Name, "--path", copied, "--copy-from", t.path},
		{initreorgdb.Name, "--path", t.path, "--if-missing"},
		{resyncblocks.Name, "--check", "--db-path", t.path, "--bitcoin-rpc", t.url},
	}
	if reorgdb.Holder(t.path) == nil {
		commands = append(commands, []string{resyncblocks.Name, "--db-path", t.path, "--bitcoin-rpc", t.url})
	}
	for _, command := range commands {
		code, stderr := t.run(command[0], command[1:]...)
		t.requireTooNew(code, stderr, command[0])
	}
	require.NoDirExists(t, copied)
	after := files(t.T, t.path)
	delete(before, "LOG") // a running node writes it
	delete(after, "LOG")
	require.Equal(t, before, after)
}

// files returns the checksums of all files in a folder.
func files(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	for _, name := range clitest.Names(t, dir) {
		all[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(clitest.Read(t, filepath.Join(dir, name)))))
	}
	return all
}

// damage changes a byte in a block of records.
func damage(t *try, path string) {
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	data, err := os.ReadFile(tables[0])
	require.NoError(t, err)
	data[10] ^= 1
	require.NoError(t, os.WriteFile(tables[0], data, 0o640))
}

// ingested reports whether a table of the database was created outside of it.
func ingested(t *try) bool {
	tables, err := filepath.Glob(filepath.Join(t.path, "*.sst"))
	require.NoError(t, err)
	return slices.ContainsFunc(tables, func(name string) bool {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		report, err := rocksfile.ReadTable(data, func(rocksfile.Entry) {})
		require.NoError(t, err)
		return report.Properties.Ingested
	})
}

// table is a table in the document: a row for each state, a column for each release.
type table struct {
	mu    sync.Mutex
	cells map[[2]string]string // by row and column
}

func (t *table) set(row, column, cell string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cells == nil {
		t.cells = map[[2]string]string{}
	}
	t.cells[[2]string{row, column}] = cell
}

// text returns the table as Markdown.
func (t *table) text(corner string, rows, columns []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n|%s\n", corner, strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)+1))
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, column := range columns {
			fmt.Fprintf(&b, " %s |", t.cells[[2]string{row, column}])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
