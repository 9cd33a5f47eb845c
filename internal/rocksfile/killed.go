package rocksfile

import (
	"slices"
	"strconv"
	"strings"
)

// A process that is killed while it makes or opens a database leaves a folder that looks as if
// something were missing. Nothing is, and RocksDB continues from there.

// Unfinished reports whether dir is a new database without its CURRENT: a process was killed
// while making it, or is still making it. It never had records, and the next process to open
// it makes it again. A folder that is empty, or that has any other file, is not unfinished.
func Unfinished(dir string) bool {
	f, err := openFolder(dir)
	return err == nil && f.unfinished()
}

// unfinished allows only the files that RocksDB makes before CURRENT. If there is a log,
// RocksDB refuses to make a database, and tables, options and later MANIFESTs show that there
// was a CURRENT.
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

// beforeCurrent reports whether RocksDB makes a file with this name before CURRENT.
func beforeCurrent(name string) bool {
	switch name {
	case "LOCK", "IDENTITY", "LOG", manifestName(firstManifest):
		return true
	}
	base, ext, _ := strings.Cut(name, ".")
	_, err := strconv.ParseUint(base, 10, 64)
	return ext == "dbtmp" && err == nil || strings.HasPrefix(name, "LOG.old.")
}

// neverHadALog reports whether a database was being made and had no log yet. RocksDB writes
// the OPTIONS file after the first log.
func (f *folder) neverHadALog(s state) bool {
	return s.untouched() && f.options == 0 && len(f.logs)+len(f.tables) == 0
}

// replayed reports whether all logs were replayed into tables and the next log is not there
// yet. RocksDB before 7.2 first installs a new MANIFEST that needs no log below the number
// after the last one, and then makes the new log. The number of that MANIFEST is the one after
// the tables made from the logs; or, with nothing to replay, the one after the previous
// MANIFEST or the last log. Later releases make the log first: with them, the number before
// the MANIFEST's is that of a log, and that log is missing.
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
