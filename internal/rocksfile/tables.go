package rocksfile

import (
	"context"
	"io"
	"runtime"
	"slices"
	"sync"

	"ailee-recovery/internal/workers"
)

// CheckTables searches the tables that the MANIFEST lists for entries that RocksDB does not show
// as they were written, such as wide-column entities. Everything else in tables, including
// checksums, is left to RocksDB. It needs a few megabytes of memory for each core. The error is
// that of reading the folder, or the error of ctx. A table that is missing or cannot be read is not
// an error.
func CheckTables(ctx context.Context, dir string) ([]Problem, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	s := f.state(func(Problem) {})
	var problems []Problem
	for _, number := range f.tables {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s.Manifest == nil {
			break
		}
		if _, listed := s.Tables[number]; listed {
			problems = append(problems, f.checkTable(ctx, tableName(number))...)
		}
	}
	return problems, ctx.Err()
}

func (f *folder) checkTable(ctx context.Context, name string) []Problem {
	file, size, err := f.open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	foot, err := readFooter(file, size)
	if err != nil {
		return nil // Check reports it, or RocksDB does
	}
	newReader := func() *tableReader { return fileReader(file, size, foot, windowSize) }
	r := newReader()
	blocks, _, err := r.layout(foot)
	if err != nil {
		return nil
	}
	unsupported := func(err error) []Problem {
		return []Problem{{Kind: Unsupported, File: name, Err: err, Why: err.Error(), Lost: true}}
	}
	if c := r.report.comparator(); c != "" && c != bytewiseOrder {
		return unsupported(unsupportedOrder(c))
	}
	g := workers.NewGroup()
	var mutex sync.Mutex
	var found Kind
	for part := range slices.Chunk(blocks, max(minPart, (len(blocks)-1)/runtime.GOMAXPROCS(0)+1)) {
		g.Go(func() error {
			each := newReader()
			each.dict, each.trusting, each.checksum = r.dict, true, r.checksum
			kind, ok := each.strange(ctx, part)
			if ok {
				mutex.Lock()
				defer mutex.Unlock()
				found = max(found, kind)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil || found == 0 {
		return nil
	}
	return unsupported(unsupportedKind(found))
}

// fileReader reads a table from its file, in pieces.
func fileReader(file io.ReaderAt, size int64, foot footer, piece int64) *tableReader {
	r := &tableReader{file: file, size: int(size), yield: func(Entry) {}, dict: noDictionary, format: foot.format, checksum: foot.checksum}
	r.read = (&window{file: file, size: size, piece: piece}).block
	return r
}

// minPart is the least number of blocks for each core.
const minPart = 256

// strange searches blocks for an entry that RocksDB does not show as it was written.
func (r *tableReader) strange(ctx context.Context, blocks []handle) (Kind, bool) {
	for _, h := range blocks {
		if ctx.Err() != nil {
			return 0, false
		}
		b, err := r.block(h)
		if err != nil {
			return 0, false
		}
		// Damage can make any kind of an entry.
		if kind, ok := strangeEntry(b); ok && r.intact(h) {
			return kind, true
		}
	}
	return 0, false
}

// intact reports whether the checksum of the block at h holds.
func (r *tableReader) intact(h handle) bool {
	raw, err := r.read(h)
	return err == nil && r.checksum.holds(raw)
}

// strangeEntry searches a block for such an entry. It only decodes the kinds: a key that shares
// its end with the key before has the same kind.
func strangeEntry(block []byte) (Kind, bool) {
	end, _, err := restartPoints(block)
	if err != nil {
		return 0, false
	}
	for p := (parser{rest: block[:end]}); len(p.rest) > 0; {
		p.uint64()
		fresh, size := p.uint64(), p.uint64()
		key := p.take(fresh)
		p.take(size)
		if p.bad {
			return 0, false
		}
		if len(key) >= 8 && !Kind(key[len(key)-8]).plain() {
			return Kind(key[len(key)-8]), true
		}
	}
	return 0, false
}

// window reads a file from front to back in pieces.
type window struct {
	file  io.ReaderAt
	size  int64
	piece int64 // how many bytes are read at a time, at least
	at    int64
	data  []byte
}

const windowSize, smallWindow = 1 << 20, 16 << 10

// block returns the block at h with its trailer. It is valid until the next call.
func (w *window) block(h handle) ([]byte, error) {
	return w.bytes(int64(h.off), int64(h.end()))
}

// bytes returns the bytes [from, to). They are valid until the next call. It reads more if it
// can; only if the bytes themselves cannot be read is there an error.
func (w *window) bytes(from, to int64) ([]byte, error) {
	if from < w.at || to > w.at+int64(len(w.data)) {
		n := max(to-from, min(w.piece, w.size-from))
		if int64(cap(w.data)) < n {
			w.data = make([]byte, n)
		}
		read, err := w.file.ReadAt(w.data[:n], from)
		if w.at, w.data = from, w.data[:read]; int64(read) < to-from {
			w.data = w.data[:0]
			return nil, err
		}
	}
	return w.data[from-w.at : to-w.at], nil
}
