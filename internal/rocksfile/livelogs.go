package rocksfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// logSet are the logs that opening the database would replay.
type logSet struct {
	*folder
	numbers []uint64
	problem func(Problem)
	lastSeq uint64 // the last sequence number in the MANIFEST
	known   bool   // lastSeq is that of a sound MANIFEST
	all     bool   // everything that was ever written is in these logs
}

func liveLogs(f *folder, s state, problem func(Problem)) logSet {
	l := logSet{folder: f, numbers: f.logs, problem: problem}
	var oldest uint64
	if s.Manifest != nil {
		oldest = s.MinLog()
		l.lastSeq, l.known, l.all = s.LastSeq, s.sound, s.untouched()
		for len(l.numbers) > 0 && l.numbers[0] < oldest {
			if s.Manifest.KeptLog <= l.numbers[0] {
				l.kept(l.numbers[0])
			}
			l.numbers = l.numbers[1:]
		}
	}
	if len(l.numbers) == 0 && !f.neverHadALog(s) && !f.replayed(s) {
		// Every open starts a log, which stays until the next one exists.
		problem(f.missingLog(oldest))
	}
	return l
}

// missingLog is the problem that there is no log, or that the logs are in the other folder
// that the OPTIONS file names.
func (f *folder) missingLog(oldest uint64) Problem {
	p := Problem{Kind: MissingLog, Why: fmt.Sprintf("no log with number %d or above", oldest), Lost: true, Stale: true}
	if f.logDir == "" || filepath.Base(f.logDir) == filepath.Base(f.dir) {
		return p
	}
	if elsewhere, err := openFolder(f.logDir); err == nil && len(elsewhere.logs) > 0 && elsewhere.logs[len(elsewhere.logs)-1] >= oldest {
		p.Kind, p.Err = Unsupported, unsupported("logs in another folder, %q", f.logDir)
		p.Why = p.Err.Error()
		return p
	}
	p.Why += fmt.Sprintf("; the process that last opened the database kept its logs in %q", f.logDir)
	return p
}

// kept reads a log whose entries are already in tables. RocksDB reads it as well, for the
// prepared transactions in it, and removes it when the database is opened for writing.
func (l logSet) kept(number uint64) {
	file, size, err := l.folder.open(logName(number))
	if err != nil {
		return
	}
	defer file.Close()
	said := false
	var entries []Entry
	_ = LogReader{
		Record: func(off int64, record []byte) {
			var err error
			if _, entries, err = decodeBatch(record, entries[:0]); errors.Is(err, errTwoPhase) && !said {
				said = true
				l.problem(Problem{Kind: Unsupported, File: logName(number), Offset: off, Length: int64(len(record)), Why: err.Error(), Err: err, Lost: true})
			}
		},
		Damage: func(Damage) {},
	}.Read(file, size, number)
}

// size returns the total length of the logs, in bytes.
func (l logSet) size() (total int64) {
	for _, number := range l.numbers {
		if file, size, err := l.folder.open(logName(number)); err == nil {
			total += size
			file.Close()
		}
	}
	return total
}

// read calls entry with the entries of all logs, the oldest log first, and reports damage and
// gaps. Keys and values are valid until entry returns. The error is the error of ctx.
func (l logSet) read(ctx context.Context, entry func(number uint64, e Entry)) error {
	r := &logsReader{logSet: l, entry: entry, next: l.lastSeq + 1, known: l.known, first: true}
	for _, number := range l.numbers {
		r.read(ctx, number)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if l.all && !r.written && len(l.numbers) > 0 && len(l.tables) > 0 {
		l.problem(Problem{Kind: DamagedManifest, Why: "it belongs to a new database, and no log has the records that are in the tables", Lost: true, Stale: true})
	}
	return nil
}

// logsReader reads the logs of a set.
type logsReader struct {
	logSet
	entry   func(number uint64, e Entry)
	next    uint64 // the sequence number that should come next
	known   bool   // next is known
	first   bool   // no record was read yet
	written bool   // there are entries
	entries []Entry
	number  uint64  // of the log that is being read
	places  int     // how many problems it has
	foreign bool    // one of them is something that is not supported
	more    Problem // the problems beyond maxPlaces
}

// maxPlaces is how many problems of one log are reported one by one.
const maxPlaces = 1000

// read reads one log.
func (r *logsReader) read(ctx context.Context, number uint64) {
	r.number, r.places, r.foreign, r.more = number, 0, false, Problem{}
	file, size, err := r.folder.open(logName(number))
	if err == nil {
		defer file.Close()
		err = LogReader{Record: r.record, Damage: r.damage}.Read(inContext{ctx, file}, size, number)
	}
	if r.more.Kind != "" {
		r.more.Why = fmt.Sprintf("more than %d problems; the rest are in this range", maxPlaces)
		r.problem(r.more)
	}
	if err != nil && ctx.Err() == nil {
		kind := Unreadable
		if errors.Is(err, fs.ErrNotExist) {
			kind = MissingLog
		}
		r.problem(Problem{Kind: kind, File: logName(number), Why: err.Error(), Err: err, Lost: true, Stale: true})
		r.known = false
	}
}

// found reports a problem of the log. Problems after the first maxPlaces are reported together,
// except for the first that is something not supported: that is not damage.
func (r *logsReader) found(p Problem) {
	p.File, p.Lost = logName(r.number), true
	first := errors.Is(p.Err, ErrUnsupported) && !r.foreign
	r.foreign = r.foreign || first
	if r.places++; r.places <= maxPlaces || first {
		r.problem(p)
		return
	}
	m := &r.more
	m.File, m.Lost, m.Stale = p.File, true, m.Stale || p.Stale
	if m.Kind == "" {
		m.Kind, m.Offset = p.Kind, p.Offset
	}
	m.Length = p.Offset + p.Length - m.Offset
	m.Entries += p.Entries
}

func (r *logsReader) damage(d Damage) {
	kind := DamagedLog
	switch {
	case d.Zeros:
		kind = ZeroedLog
	case d.Torn:
		kind = TornLog
	case errors.Is(d.Err, ErrUnsupported):
		kind = Unsupported
	}
	r.found(Problem{Kind: kind, Offset: d.Offset, Length: d.Length, Why: d.Why, Err: d.Err, Stale: true})
	r.known = false
}

func (r *logsReader) record(off int64, record []byte) {
	seq, entries, err := decodeBatch(record, r.entries[:0])
	if err != nil {
		kind := DamagedLog
		if errors.Is(err, ErrUnsupported) {
			kind = Unsupported
		}
		r.found(Problem{Kind: kind, Offset: off, Length: int64(len(record)), Why: err.Error(), Err: err, Stale: true})
		r.known = false
		return
	}
	// Everything up to the last sequence number of the MANIFEST is in tables. Some of it may be
	// in the first log as well.
	if r.known && seq > r.next {
		r.found(Problem{Kind: LogGap, Offset: off, Stale: true, Entries: int64(seq - r.next), Why: fmt.Sprintf("sequence number %d follows %d", seq, r.next-1)})
	}
	end := seq + uint64(len(entries))
	if r.first || !r.known || end > r.next {
		r.next = end
	}
	r.first, r.known, r.written, r.entries = false, true, r.written || len(entries) > 0, entries
	for _, e := range entries {
		if !e.Kind.plain() {
			err := unsupportedKind(e.Kind)
			r.found(Problem{Kind: Unsupported, Offset: off, Length: int64(len(record)), Why: err.Error(), Err: err})
		}
		r.entry(r.number, e)
	}
}

// inContext is a file that can be read until the context ends.
type inContext struct {
	ctx context.Context
	io.ReaderAt
}

func (c inContext) ReadAt(p []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.ReaderAt.ReadAt(p, off)
}
