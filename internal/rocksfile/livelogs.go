package rocksfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// logSet are the logs that an open would replay.
type logSet struct {
	*folder
	numbers []uint64
	problem func(Problem)
	lastSeq uint64 // the last one that a sound MANIFEST knows
	known   bool
	all     bool // all that was ever written is in them
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
		// Every open starts a log, and it stays until the next one exists.
		problem(f.missingLog(oldest))
	}
	return l
}

// missingLog is the problem that no log is there, or that they are elsewhere, where the
// OPTIONS say.
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
	p.Why += fmt.Sprintf("; the last to open the database had its logs in %q", f.logDir)
	return p
}

// kept looks into a log whose entries are in tables, which RocksDB reads all the same: it is
// there for the transactions that it has prepared, and gone when the database is opened to
// write.
func (l logSet) kept(number uint64) {
	name := logName(number)
	data, err := l.folder.read(name)
	if err != nil {
		return
	}
	said := false
	LogReader{
		Record: func(off int64, record []byte) {
			if _, _, err := DecodeBatch(record); errors.Is(err, errTwoPhase) && !said {
				said = true
				l.problem(Problem{Kind: Unsupported, File: name, Offset: off, Length: int64(len(record)), Why: err.Error(), Err: err, Lost: true})
			}
		},
		Damage: func(Damage) {},
	}.Read(data, number)
}

// read passes on the entries of all logs, oldest log first, and reports damage
// and gaps. The entries stay valid.
func (l logSet) read(ctx context.Context, entry func(number uint64, e Entry)) error {
	next, known := l.lastSeq+1, l.known
	first, written := true, false
	for _, number := range l.numbers {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := logName(number)
		data, err := l.folder.read(name)
		if err != nil {
			kind := Unreadable
			if errors.Is(err, fs.ErrNotExist) {
				kind = MissingLog
			}
			l.problem(Problem{Kind: kind, File: name, Why: err.Error(), Err: err, Lost: true, Stale: true})
			known = false
			continue
		}
		reader := LogReader{
			Record: func(off int64, record []byte) {
				seq, entries, err := DecodeBatch(record)
				if err != nil {
					kind := DamagedLog
					if errors.Is(err, ErrUnsupported) {
						kind = Unsupported
					}
					l.problem(Problem{Kind: kind, File: name, Offset: off, Length: int64(len(record)), Why: err.Error(), Err: err, Lost: true, Stale: true})
					known = false
					return
				}
				// Before the first log, all up to the last sequence number of the
				// MANIFEST is in tables; some of it may be in the log as well.
				if known && seq > next {
					l.problem(Problem{Kind: LogGap, File: name, Offset: off, Lost: true, Stale: true, Entries: int64(seq - next),
						Why: fmt.Sprintf("sequence number %d follows %d", seq, next-1)})
				}
				end := seq + uint64(len(entries))
				if first || !known || end > next {
					next = end
				}
				first, known, written = false, true, written || len(entries) > 0
				for _, e := range entries {
					if !e.Kind.plain() {
						err := unsupportedKind(e.Kind)
						l.problem(Problem{Kind: Unsupported, File: name, Offset: off, Length: int64(len(record)), Why: err.Error(), Err: err, Lost: true})
					}
					entry(number, e)
				}
			},
			Damage: func(d Damage) {
				kind := DamagedLog
				switch {
				case d.Zeros:
					kind = ZeroedLog
				case d.Torn:
					kind = TornLog
				case errors.Is(d.Err, ErrUnsupported):
					kind = Unsupported
				}
				l.problem(Problem{Kind: kind, File: name, Offset: d.Offset, Length: d.Length, Why: d.Why, Err: d.Err, Lost: true, Stale: true})
				known = false
			},
		}
		reader.Read(data, number)
	}
	if l.all && !written && len(l.numbers) > 0 && len(l.tables) > 0 {
		l.problem(Problem{Kind: DamagedManifest, Why: "it is that of a new database, and no log has what is in the tables", Lost: true, Stale: true})
	}
	return nil
}
