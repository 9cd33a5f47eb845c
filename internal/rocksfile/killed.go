package rocksfile

import (
	"slices"
	"strconv"
	"strings"
)

// A process that is killed while it makes or opens a database leaves a folder that
// looks as if something were missing. Nothing is; RocksDB goes on from there.

// Unfinished reports whether dir is a new database without its CURRENT: a process was
// killed while it made it, or is still at it. Nothing was ever written to it, and
// whoever opens it next makes it anew. A folder that is empty, or that holds
// anything else, is none.
func Unfinished(dir string) bool {
	f, err := openFolder(dir)
	return err == nil && f.unfinished()
}

// unfinished allows what RocksDB makes before CURRENT, and no more: with a log it
// refuses to make a database, and tables, options and later MANIFESTs say that there
// has been a CURRENT.
func (f *folder) unfinished() bool {
	if len(f.names) == 0 || slices.ContainsFunc(f.names, func(name string) bool { return !beforeCurrent(name) }) {
		return false
	}
	if len(f.manifests) == 0 {
		return true
	}
	m, damage, _, err := f.decodeManifest(manifestName(firstManifest))
	return err == nil && m.untouched() && !slices.ContainsFunc(damage, func(d Damage) bool { return !d.Torn })
}

// firstManifest is the number of the MANIFEST of each new database.
const firstManifest = 1

// beforeCurrent reports whether a file of that name can be there before CURRENT is.
func beforeCurrent(name string) bool {
	switch name {
	case "LOCK", "IDENTITY", "LOG", manifestName(firstManifest):
		return true
	}
	base, ext, _ := strings.Cut(name, ".")
	_, err := strconv.ParseUint(base, 10, 64)
	return ext == "dbtmp" && err == nil || strings.HasPrefix(name, "LOG.old.")
}

// neverHadALog reports whether a database was being made and had no log yet. RocksDB
// writes the OPTIONS file once the first log is there.
func (f *folder) neverHadALog(s state) bool {
	return s.untouched() && f.options == 0 && len(f.logs)+len(f.tables) == 0
}

// replayed reports whether all logs were replayed into tables and the next one is not
// there yet. RocksDB before 7.2 puts a new MANIFEST in place first, with the number
// behind that of the last log as the oldest needed, and makes the new log then. That
// MANIFEST has the number behind those of the tables that came of the logs; or, with
// nothing to replay, behind that of the MANIFEST before it, or of the last log.
// Later releases make the log first, so that there the number in front of the
// MANIFEST's is that of a log which is missing.
func (f *folder) replayed(s state) bool {
	if s.Manifest == nil || !s.sound || len(f.logs) == 0 || s.MinLog() != f.logs[len(f.logs)-1]+1 {
		return false
	}
	digits, _ := strings.CutPrefix(s.name, manifestPrefix)
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return false
	}
	_, table := s.Tables[number-1]
	return table || number == s.MinLog() || slices.Contains(f.manifests, number-1)
}
