package rocksfile_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/rocksfile"
)

// lost reports whether records are lost or could be.
func lost(s *rocksfile.Salvaged) bool {
	return slices.ContainsFunc(s.Problems, func(p rocksfile.Problem) bool { return p.Lost })
}

// stale reports whether deleted or older records may have come back.
func stale(s *rocksfile.Salvaged) bool {
	return slices.ContainsFunc(s.Problems, func(p rocksfile.Problem) bool { return p.Stale })
}

// harm is one way to damage a file.
type harm struct {
	name string
	file string
	// data is the content of the damaged file, nil to delete it.
	data []byte
	// unseen is set if nothing in the folder can show the damage: the log reads like one that
	// never had more records.
	unseen bool
}

// harms returns the damage matrix of one file.
func harms(db database, file string) []harm {
	data := db.files[file]
	h := []harm{{name: "deleted", file: file}}
	if len(data) == 0 {
		return h
	}
	ends := recordEnds(file, data)
	cut := func(n int) {
		h = append(h, harm{name: fmt.Sprintf("cut at %d", n), file: file, data: data[:n:n],
			unseen: strings.HasSuffix(file, ".log") && slices.Contains(ends, n)})
	}
	points := []int{0, 1, 7, len(data) / 3, len(data) / 2, len(data) - 60, len(data) - 53, len(data) - 1}
	for _, end := range ends {
		points = append(points, end-1, end, end+1)
	}
	slices.Sort(points)
	for _, n := range slices.Compact(points) {
		if n >= 0 && n < len(data) {
			cut(n)
		}
	}
	step := 1
	switch {
	case testing.Short():
		step = len(data)/5 + 1
	case len(data) > 4<<10 || !strings.HasPrefix(db.name, "node-"):
		step = len(data)/150 + 1
	}
	for at := 0; at < len(data); at += step {
		flipped := bytes.Clone(data)
		flipped[at] ^= 1 << (at % 8)
		h = append(h, harm{name: fmt.Sprintf("bit flipped at %d", at), file: file, data: flipped})
	}
	for _, r := range [][2]int{{0, 100}, {len(data) / 3, 600}, {len(data) / 2, 5000}} {
		wiped := bytes.Clone(data)
		clear(wiped[r[0]:min(r[0]+r[1], len(data))])
		wiped = append(wiped, "!"...)[:len(data)]
		h = append(h, harm{name: fmt.Sprintf("zeros at %d", r[0]), file: file, data: wiped})
	}
	return h
}

// recordEnds returns where the records of a log end, and 0.
func recordEnds(file string, data []byte) []int {
	if !strings.HasSuffix(file, ".log") {
		return nil
	}
	ends := []int{0}
	readLog(data, 0, func(off int64, _ []byte) { ends = append(ends, int(off)) }, func(rocksfile.Damage) {})
	return ends
}

// TestDamageIsNeverSilent goes through the matrix: whatever is done to one file, every record
// that is read was in the database, and missing records are reported.
func TestDamageIsNeverSilent(t *testing.T) {
	for _, db := range databases(t) {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			dir, held := db.write(t), history(db)
			for _, file := range slices.Sorted(maps.Keys(db.files)) {
				if file == "LOCK" || file == "IDENTITY" || strings.HasPrefix(file, "OPTIONS-") {
					continue // none of them is needed for reading
				}
				path := filepath.Join(dir, file)
				for _, h := range harms(db, file) {
					if h.data == nil {
						require.NoError(t, os.Remove(path))
					} else {
						require.NoError(t, os.WriteFile(path, h.data, 0o600))
					}
					judge(t, db, held, dir, h)
				}
				require.NoError(t, os.WriteFile(path, db.files[file], 0o600))
			}
		})
	}
}

// history returns every value that the sound files have for a key.
func history(db database) map[string]bool {
	held := map[string]bool{}
	add := func(e rocksfile.Entry) {
		if e.Kind == rocksfile.KindPut {
			held[fmt.Sprintf("%X %X", e.Key, e.Value)] = true
		}
	}
	for file, data := range db.files {
		switch filepath.Ext(file) {
		case ".sst":
			_, _ = rocksfile.ReadTable(data, add)
		case ".log":
			readLog(data, 0, func(_ int64, record []byte) {
				_, entries, _ := rocksfile.DecodeBatch(record)
				for _, e := range entries {
					add(e)
				}
			}, func(rocksfile.Damage) {})
		}
	}
	return held
}

func judge(t *testing.T, db database, held map[string]bool, dir string, h harm) {
	t.Helper()
	s, got := salvage(t, dir)
	where := func() string { return fmt.Sprintf("%s %s: %v", h.file, h.name, s.Problems) }
	missing := 0
	for key := range db.truth {
		if _, ok := got[key]; !ok {
			missing++
		}
	}
	foreign := 0
	for key, value := range got {
		if want, ok := db.truth[key]; !ok || want != value {
			foreign++
			// An older or deleted record came back. It must be a real one, and reported.
			if !stale(s) && !h.unseen {
				t.Fatalf("%s: %s = %.80s came back, and no problem reports it; it should be %.80s", where(), key, value, want)
			}
			if !held[key[strings.Index(key, " ")+1:]+" "+value] {
				t.Fatalf("%s: %s = %.80s was never in the database", where(), key, value)
			}
		}
	}
	if missing > 0 && !lost(s) && !h.unseen {
		t.Fatalf("%s: %d of %d records are missing, and no problem reports it", where(), missing, len(db.truth))
	}
	if missing == 0 && foreign == 0 && h.unseen {
		t.Fatalf("%s: this should have been a loss that cannot be seen", where())
	}
}
