package rocksfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ailee-recovery/internal/durable"
)

// ProblemKind is the kind of a problem in a folder.
type ProblemKind string

const (
	MissingCurrent  ProblemKind = "missing CURRENT"
	DamagedCurrent  ProblemKind = "damaged CURRENT"
	MissingManifest ProblemKind = "missing MANIFEST"
	DamagedManifest ProblemKind = "damaged MANIFEST"
	MissingTable    ProblemKind = "missing table"
	DamagedTable    ProblemKind = "damaged table" // entries are or may be lost
	DamagedIndex    ProblemKind = "damaged table metadata"
	UnlistedTable   ProblemKind = "table not in the MANIFEST"
	MissingLog      ProblemKind = "missing log"
	DamagedLog      ProblemKind = "damaged log"
	TornLog         ProblemKind = "torn log tail"
	ZeroedLog       ProblemKind = "zeros to the end of the log" // as after a power cut
	LogGap          ProblemKind = "gap in the log"
	Unreadable      ProblemKind = "unreadable file"
	DoubtfulRange   ProblemKind = "range deletion in doubt"
	Unsupported     ProblemKind = "unsupported"
	TooNew          ProblemKind = "written by a newer RocksDB"
	Changing        ProblemKind = "folder kept changing"
	BeingMade       ProblemKind = "unfinished database" // sound, and empty
)

// Problem is one thing that is wrong in a folder.
type Problem struct {
	Kind   ProblemKind
	File   string // its name in the folder, "" for the folder itself
	Offset int64
	Length int64 // 0 if not known, or for the whole file
	Why    string
	Err    error // nil, or an error of the file system, a [TooNewError], or [ErrUnsupported]
	// Lost is set if records are lost or could be.
	Lost bool
	// Stale is set if deleted or older records may have come back.
	Stale bool
	// Entries is the number of lost entries, as far as known.
	Entries int64
}

func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ": ")
	}
	b.WriteString(string(p.Kind))
	if p.Length > 0 {
		fmt.Fprintf(&b, " at byte %d, %d bytes", p.Offset, p.Length)
	}
	if p.Why != "" {
		b.WriteString(": " + p.Why)
	}
	if p.Entries > 0 {
		fmt.Fprintf(&b, " (%d entries lost)", p.Entries)
	}
	return b.String()
}

// FindUnsupported describes the first of the problems that is not damage, but something that
// no node writes, and says where it is. It returns "" if there is none.
func FindUnsupported(problems []Problem) string {
	for _, p := range problems {
		if !errors.Is(p.Err, ErrUnsupported) {
			continue
		}
		what := p.Err.Error()
		switch {
		case p.File != "" && p.Offset > 0:
			what += fmt.Sprintf(" (%s, byte %d)", p.File, p.Offset)
		case p.File != "":
			what += fmt.Sprintf(" (%s)", p.File)
		}
		return what
	}
	return ""
}

// folder lists the files of a database folder, by number. Tables and logs are sorted.
type folder struct {
	dir       string
	names     []string // of all files
	tables    []uint64
	logs      []uint64
	manifests []uint64 // the newest first
	options   uint64   // the newest, 0 without any
	version   string   // of RocksDB, as the newest OPTIONS file says
	logDir    string   // the folder of the logs, as the newest OPTIONS file says
}

func tableName(number uint64) string    { return fmt.Sprintf("%06d.sst", number) }
func logName(number uint64) string      { return fmt.Sprintf("%06d.log", number) }
func manifestName(number uint64) string { return fmt.Sprintf("%s%06d", manifestPrefix, number) }

const manifestPrefix = "MANIFEST-"

func openFolder(dir string) (*folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir}
	for _, entry := range entries {
		name := entry.Name()
		f.names = append(f.names, name)
		number, ok := strings.CutPrefix(name, manifestPrefix)
		if n, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			f.manifests = append(f.manifests, n)
		}
		number, ok = strings.CutPrefix(name, "OPTIONS-")
		if n, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			f.options = max(f.options, n)
		}
		base, ext, _ := strings.Cut(name, ".")
		n, err := strconv.ParseUint(base, 10, 64)
		switch {
		case err != nil:
		case ext == "sst":
			f.tables = append(f.tables, n)
		case ext == "log":
			f.logs = append(f.logs, n)
		}
	}
	slices.Sort(f.tables)
	slices.Sort(f.logs)
	slices.SortFunc(f.manifests, func(a, b uint64) int { return cmp.Compare(b, a) })
	f.readOptions()
	return f, nil
}

// readOptions reads the version of the RocksDB that last opened the database, and the folder
// in which it kept the logs.
func (f *folder) readOptions() {
	data, err := f.read(fmt.Sprintf("OPTIONS-%06d", f.options))
	if err != nil {
		return
	}
	value := func(name string) string {
		_, rest, _ := bytes.Cut(data, []byte(name+"="))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		return string(bytes.TrimSpace(line))
	}
	f.version, f.logDir = value("rocksdb_version"), value("wal_dir")
}

// open opens a file and returns its size. It refuses a pipe: opening it would wait for a
// writer.
func (f *folder) open(name string) (*os.File, int64, error) {
	file, err := durable.OpenRegular(filepath.Join(f.dir, name), os.O_RDONLY)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// maxText is how many bytes of CURRENT and OPTIONS files are read.
const maxText = 1 << 20

// read reads a short text file.
func (f *folder) read(name string) ([]byte, error) {
	file, size, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, min(size, maxText))
	n, err := io.ReadFull(file, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], err
}

// state is what CURRENT and the MANIFEST say.
type state struct {
	*Manifest        // nil if none can be read
	sound     bool   // no edit is missing
	name      string // of the MANIFEST
	size      int64
}

// state reads the MANIFEST that CURRENT names. If it cannot be used, it reads the newest sound
// one, or else the newest one that has any state.
func (f *folder) state(problem func(Problem)) state {
	current, err := f.read("CURRENT")
	name, newline := strings.CutSuffix(string(current), "\n")
	number, prefix := strings.CutPrefix(name, manifestPrefix)
	n, parseErr := strconv.ParseUint(number, 10, 64)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.unfinished():
		return state{Manifest: newManifest(), sound: true}
	case errors.Is(err, fs.ErrNotExist):
		problem(Problem{Kind: MissingCurrent, File: "CURRENT"})
	case err != nil:
		problem(Problem{Kind: Unreadable, File: "CURRENT", Err: err, Why: err.Error()})
	case !newline || !prefix || parseErr != nil:
		problem(Problem{Kind: DamagedCurrent, File: "CURRENT", Why: "it names no MANIFEST"})
	default:
		if s, ok := f.manifest(n, problem); ok {
			return s
		}
	}
	var best state
	for _, m := range f.manifests {
		if err == nil && m == n && parseErr == nil && prefix && newline {
			continue // already reported
		}
		s, ok := f.manifest(m, problem)
		if ok && s.sound {
			return s
		}
		if ok && best.Manifest == nil {
			best = s
		}
	}
	if best.Manifest == nil {
		problem(Problem{Kind: MissingManifest, Why: "no MANIFEST can be read: it is not known which tables were obsolete", Lost: true, Stale: true})
	}
	return best
}

// unchanged reports whether the folder is still as it was listed, and the MANIFEST as it was
// read. If not, a log that is not in the list may have replaced one that is.
func (f *folder) unchanged(s state) bool {
	now, err := openFolder(f.dir)
	if err != nil {
		return false
	}
	after := now.state(func(Problem) {})
	return after.name == s.name && after.size == s.size && slices.Equal(now.logs, f.logs) && slices.Equal(now.tables, f.tables)
}

func (f *folder) decodeManifest(name string) (*Manifest, []Damage, int64, error) {
	file, size, err := f.open(name)
	if err != nil {
		return nil, nil, 0, err
	}
	defer file.Close()
	m, damage, err := DecodeManifest(file, size)
	return m, damage, size, err
}

// manifest reads one MANIFEST. It returns false if the MANIFEST has no state that can be used.
func (f *folder) manifest(number uint64, problem func(Problem)) (state, bool) {
	name := manifestName(number)
	m, damage, size, err := f.decodeManifest(name)
	if err != nil {
		kind := Unreadable
		if errors.Is(err, fs.ErrNotExist) {
			kind = MissingManifest
		}
		problem(Problem{Kind: kind, File: name, Why: err.Error(), Err: err, Lost: true, Stale: true})
		return state{}, false
	}
	s := state{Manifest: m, sound: m.Complete, name: name, size: size}
	for _, d := range damage {
		// A torn edit never took effect, unless the file was cut later.
		s.sound = s.sound && d.Torn
		if errors.Is(d.Err, ErrUnsupported) {
			problem(Problem{Kind: Unsupported, File: name, Offset: d.Offset, Length: d.Length, Why: d.Why, Err: d.Err, Lost: true, Stale: true})
			continue
		}
		why := d.Why
		if d.Zeros {
			why = "zeros to its end: edits may be missing there"
		}
		problem(Problem{Kind: DamagedManifest, File: name, Offset: d.Offset, Length: d.Length, Why: why, Lost: true, Stale: !d.Torn})
	}
	if len(damage) == 0 && !m.Complete {
		problem(Problem{Kind: DamagedManifest, File: name, Why: "it ends before its first state was complete", Lost: true, Stale: true})
	}
	for _, family := range slices.Sorted(maps.Keys(m.Families)) {
		if c := m.Families[family].Comparator; c != "" && c != bytewiseOrder {
			err := unsupportedOrder(c)
			problem(Problem{Kind: Unsupported, File: name, Why: err.Error(), Err: err, Lost: true})
		}
	}
	return s, m.Complete || len(m.Tables) > 0
}
