package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"slices"
	"time"

	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/internal/spill"
	"ailee-recovery/internal/workers"
	"ailee-recovery/snapshot"
)

// Snapshots is what a snapshot file holds. A snapshot is valid if its own root and anchor are
// right. Which earlier anchors its peg-outs may name cannot be determined from a pruned file, so
// an unknown one is not damage. It must be closed: for a large file, the entries of the snapshots
// are in temporary files. Not safe for concurrent use.
type Snapshots struct {
	Size int64 // bytes that were read
	// End is where the latest complete snapshot ends, 0 if there is none. The content is the file
	// up to there, with the newline that its last line may lack: it has ContentSize bytes, and
	// SHA256 is its digest in hex.
	End, ContentSize int64
	SHA256           string

	Complete    int64 // complete snapshots that a node sees
	Valid       int64 // how many of them are valid
	Doubtful    int64 // valid snapshots whose time is in doubt
	PegOutsOpen int64 // valid snapshots with a peg-out that does not have their own anchor's hash

	// Latest is the snapshot that a node loads, and Oldest the first complete one. First is the
	// first valid one in the file. Newest is the valid one with the latest time that is not in
	// doubt, of two with the same time the later in the file; if all times are in doubt, the last
	// valid one. Each is nil if there is none.
	Latest, Oldest, First, Newest *Snapshot

	// Bad are the complete snapshots that are not valid, the first [MaxListed] of them.
	Bad []Snapshot
	// Hidden are the first [MaxListed] of the HiddenCount valid snapshots that no node sees.
	Hidden      []Snapshot
	HiddenCount int64
	// HiddenBad is the number of complete snapshots that no node sees and that are not valid.
	HiddenBad int64
	// Outside are the findings about bytes that belong to no complete snapshot: a torn tail, a
	// missing newline, stray bytes, hidden snapshots.
	Outside []snapshot.Finding

	r        io.ReaderAt
	o        SnapshotsOptions
	prefixes map[int64]string
	valid    *spill.Store  // an entry for each valid snapshot, in file order
	digests  *spill.Sorter // nil until it is needed
	anchors  *spill.Sorter // anchor hash, number
}

// MaxListed is the greatest length of the lists of single snapshots.
const MaxListed = 100

// Snapshot is one snapshot of a file.
type Snapshot struct {
	Number  int64 // 1 for the oldest complete one in the file; 0 if no node sees it
	Offset  int64
	Size    int64
	Verdict snapshot.Verdict // of the nodes' verifier; "" if it is too large to read

	TimestampMs uint64    // as its line says, Unix milliseconds
	Time        time.Time // of its anchor if that is valid, else of its line; zero if it is out of range
	Doubtful    bool      // Time is zero, or more than an hour ahead of the clock
	Root        string    // hex
	Anchor      string    // the anchor's hash, hex; "" without an anchor
	SHA256      string    // of its bytes, with its last newline even if the file lacks it; "" in Bad and Hidden
}

// maxAhead is how far ahead of the clock a time may be.
const maxAhead = time.Hour

// InDoubt reports whether a time may come from a wrong clock: it is more than an hour ahead of
// now, or zero, which stands for a time that is out of range.
func InDoubt(at, now time.Time) bool { return at.IsZero() || at.After(now.Add(maxAhead)) }

// SnapshotsOptions are the options of [ReadSnapshots].
type SnapshotsOptions struct {
	Now    time.Time        // the clock, against which times are in doubt
	Memory *snapshot.Memory // nil for [snapshot.DefaultMaxMemory]
	// DigestsAt are lengths n for which the SHA-256 of the first n bytes is wanted as well: see
	// [Snapshots.PrefixSHA256].
	DigestsAt []int64
	// TempDir is the folder for temporary files, which have no name; "" for the system's.
	TempDir string
	// Progress, unless nil, is called with the number of bytes read since the last call.
	Progress func(int64)
	// Copy, unless nil, gets the content while it is read: exactly the bytes that SHA256 is the
	// digest of. If it returns an error, reading ends.
	Copy io.Writer
}

// ReadSnapshots reads the first size bytes of a snapshot file, once, on all cores. Damage is
// not an error: see Valid, Bad and Outside. An error means that the file could not be checked:
// it is the context's, one from r, [snapshot.ErrShrunk], [snapshot.ErrChanged], a
// *[snapshot.LineTooLongError] or *[snapshot.SectionTooLargeError], or one of a temporary file.
// Comparing reads r again, so r must stay open until Close.
func ReadSnapshots(ctx context.Context, r io.ReaderAt, size int64, o SnapshotsOptions) (*Snapshots, error) {
	if o.Memory == nil {
		o.Memory = snapshot.NewMemory(0)
	}
	s := &Snapshots{Size: size, r: r, o: o, prefixes: map[int64]string{}, valid: spill.NewStore(entrySize, newFile(o.TempDir)),
		anchors: spill.NewSorter(anchorSize, newFile(o.TempDir))}
	if err := s.read(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Snapshots) read(ctx context.Context) error {
	p := startPrefixes(ctx, s)
	err := s.survey(ctx, p)
	if endErr := p.end(ctx, s); err == nil {
		err = endErr
	}
	if err != nil {
		return err
	}
	outside, err := snapshot.TailFindings(s.r, s.End, s.Size)
	if err != nil {
		return err
	}
	s.Outside = append(s.Outside, outside...)
	return s.digestOf(ctx, s.Oldest, s.First, s.Newest, s.Latest)
}

// survey examines everything that may be a snapshot.
func (s *Snapshots) survey(ctx context.Context, p *prefixes) error {
	checker := snapshot.NewChecker(s.o.Memory)
	var stray snapshottool.Stray
	at, told := int64(0), int64(0)
	see := func(l snapshot.Located, report *snapshot.Report) error {
		if l.Offset > stray.End() {
			if err := stray.BeforeIn(s.r, l, s.Size); err != nil {
				return err
			}
		} else {
			stray.Before(l)
		}
		if err := s.add(l, report); err != nil {
			return err
		}
		p.to(s.End)
		return nil
	}
	for found, err := range snapshottool.Everything(ctx, s.r, s.Size, s.o.Memory, checker) {
		if err != nil {
			return err
		}
		if m := found.Merged; m != nil {
			if err := see(m.Located, m.Report); err != nil {
				return err
			}
		}
		switch {
		case found.Torn():
		case found.Hidden:
			s.addHidden(found.Report)
		default:
			if err := see(found.Located, found.Report); err != nil {
				return err
			}
		}
		at = max(at, found.End())
		if s.o.Progress != nil && at > told {
			s.o.Progress(at - told)
		}
		told = max(told, at)
	}
	if s.o.Progress != nil && s.Size > told {
		s.o.Progress(s.Size - told)
	}
	s.Outside = stray.Findings()
	return nil
}

// add adds a complete snapshot that a node sees. report is nil if it is too large to read.
func (s *Snapshots) add(l snapshot.Located, report *snapshot.Report) error {
	s.Complete++
	s.End, s.ContentSize = l.End(), l.End()
	if !l.Newline() {
		s.ContentSize++
	}
	one := s.describe(l, report)
	one.Number = s.Complete
	s.Latest = &one
	if s.Oldest == nil {
		s.Oldest = &one
	}
	if report == nil || !report.Holding() {
		if len(s.Bad) < MaxListed {
			s.Bad = append(s.Bad, one)
		}
		return nil
	}
	s.Valid++
	if report.Verdict() == snapshot.PegOutMismatch {
		s.PegOutsOpen++
	}
	if one.Doubtful {
		s.Doubtful++
	}
	if s.First == nil {
		s.First = &one
	}
	if newest := s.Newest; newest == nil || newest.Doubtful || !one.Doubtful && !one.Time.Before(newest.Time) {
		s.Newest = &one
	}
	if hash, err := hex.DecodeString(one.Anchor); err == nil && len(hash) == sha256.Size {
		if err := s.anchors.Add(appendNumber(hash, one.Number)); err != nil {
			return err
		}
	}
	return s.valid.Add(entryOf(&one).append(nil))
}

func (s *Snapshots) addHidden(report *snapshot.Report) {
	if !report.Holding() {
		s.HiddenBad++
		return
	}
	s.HiddenCount++
	if len(s.Hidden) < MaxListed {
		s.Hidden = append(s.Hidden, s.describe(report.Located, report))
	}
}

// describe returns a snapshot without its digest.
func (s *Snapshots) describe(l snapshot.Located, report *snapshot.Report) Snapshot {
	one := Snapshot{Offset: l.Offset, Size: l.Size, Doubtful: true}
	if report == nil {
		return one
	}
	one.Verdict, one.TimestampMs, one.Root = report.Verdict(), report.TimestampMs, report.Root
	ms := report.TimestampMs
	if report.Anchor != nil {
		one.Anchor = report.Anchor.Hash
		if report.Holding() && report.Anchor.Bound() {
			ms = report.Anchor.TimestampMs
		}
	}
	if _, ok := snapshottool.UTC(ms); ok {
		one.Time = time.UnixMilli(int64(ms)).UTC()
	}
	one.Doubtful = InDoubt(one.Time, s.o.Now)
	return one
}

// digestOf sets the digests of the snapshots in the list, and hashes each snapshot only once.
func (s *Snapshots) digestOf(ctx context.Context, list ...*Snapshot) error {
	sum := sha256.New()
	buf := make([]byte, digestStep)
	for _, one := range list {
		if one == nil || one.SHA256 != "" {
			continue
		}
		if same := slices.IndexFunc(list, func(other *Snapshot) bool {
			return other != nil && other.SHA256 != "" && other.Number == one.Number
		}); same >= 0 {
			one.SHA256 = list[same].SHA256
			continue
		}
		if one.Offset == 0 && one.Number == s.Latest.Number {
			one.SHA256 = s.SHA256 // it is the whole content
			continue
		}
		sum.Reset()
		if err := hashSnapshot(ctx, sum, s.r, one.Offset, one.Size, buf); err != nil {
			return err
		}
		one.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	return nil
}

// hashSnapshot hashes a snapshot, with its last newline even if it lacks that.
func hashSnapshot(ctx context.Context, sum hash.Hash, r io.ReaderAt, offset, size int64, buf []byte) error {
	last, err := readRange(ctx, sum, r, offset, offset+size, buf)
	if err == nil && last != '\n' {
		sum.Write([]byte{'\n'})
	}
	return err
}

// digestStep is how much is hashed or copied between two checks of the context, in bytes.
const digestStep = 256 << 10

// readRange writes the bytes [from, to) to a hash or a file, and returns the last one.
func readRange(ctx context.Context, w io.Writer, r io.ReaderAt, from, to int64, buf []byte) (last byte, err error) {
	for from < to {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		part := buf[:min(int64(len(buf)), to-from)]
		n, err := r.ReadAt(part, from)
		if n < len(part) {
			if err == nil || errors.Is(err, io.EOF) {
				err = snapshot.ErrShrunk
			}
			return 0, err
		}
		if _, err := w.Write(part); err != nil {
			return 0, err
		}
		last = part[n-1]
		from += int64(n)
	}
	return last, nil
}

// PrefixSHA256 returns the SHA-256 of the file's first n bytes, in hex. It is known for the
// lengths in DigestsAt that are not beyond Size, and for End.
func (s *Snapshots) PrefixSHA256(n int64) (sha256 string, ok bool) {
	sha256, ok = s.prefixes[n]
	return sha256, ok
}

// Sound reports whether a node can load the latest snapshot, and no valid snapshot is hidden
// from it. A torn tail does not matter here, nor do older snapshots that are not valid.
func (s *Snapshots) Sound() bool {
	return s.Latest != nil && s.LatestValid() && s.HiddenCount == 0
}

// LatestValid reports whether there is a latest snapshot, and it is valid.
func (s *Snapshots) LatestValid() bool {
	return s.Latest != nil && (s.Latest.Verdict == snapshot.Valid || s.Latest.Verdict == snapshot.PegOutMismatch)
}

// Close frees the temporary files.
func (s *Snapshots) Close() error {
	err := errors.Join(s.valid.Close(), s.anchors.Close())
	if s.digests != nil {
		err = errors.Join(err, s.digests.Close())
	}
	return err
}

// prefixes hashes a file while it is being checked, up to where it has been checked.
type prefixes struct {
	r     io.ReaderAt
	marks []int64 // lengths that are still to be noted, ascending
	sums  map[int64]string
	sum   hash.Hash
	copy  io.Writer // gets what is hashed, unless nil
	buf   []byte
	at    int64

	until chan int64
	ended <-chan error
}

func startPrefixes(ctx context.Context, s *Snapshots) *prefixes {
	p := &prefixes{r: s.r, sums: s.prefixes, sum: sha256.New(), copy: s.o.Copy, buf: make([]byte, digestStep), until: make(chan int64, 1)}
	for _, n := range slices.Sorted(slices.Values(s.o.DigestsAt)) {
		if n >= 0 && n <= s.Size {
			p.marks = append(p.marks, n)
		}
	}
	p.ended = workers.Start(func() error {
		for until := range p.until {
			if err := p.hash(ctx, until); err != nil {
				for range p.until { // the sender must not block
					continue
				}
				return err
			}
		}
		return nil
	})
	return p
}

// to says how far the file was checked.
func (p *prefixes) to(end int64) {
	select {
	case <-p.until: // replace a value that was not received yet
	default:
	}
	p.until <- end
}

func (p *prefixes) hash(ctx context.Context, until int64) error {
	for {
		next := until
		if len(p.marks) > 0 {
			next = min(next, p.marks[0])
		}
		if p.at < next {
			if err := p.pass(ctx, next); err != nil {
				return err
			}
		}
		if len(p.marks) == 0 || p.marks[0] > p.at {
			return nil
		}
		p.note()
		p.marks = p.marks[1:]
	}
}

// pass hashes the file up to next, and writes that to the copy.
func (p *prefixes) pass(ctx context.Context, next int64) error {
	to := io.Writer(p.sum)
	if p.copy != nil {
		to = io.MultiWriter(p.sum, p.copy)
	}
	_, err := readRange(ctx, to, p.r, p.at, next, p.buf)
	p.at = next
	return err
}

func (p *prefixes) note() { p.sums[p.at] = hex.EncodeToString(p.sum.Sum(nil)) }

// end waits for the hashing, and sets the digests.
func (p *prefixes) end(ctx context.Context, s *Snapshots) error {
	close(p.until)
	if err := <-p.ended; err != nil {
		return err
	}
	p.note()
	s.SHA256 = p.sums[s.End]
	if s.ContentSize > s.End {
		whole := sha256.New()
		if err := cloneHash(whole, p.sum); err != nil {
			return err
		}
		whole.Write([]byte{'\n'})
		s.SHA256 = hex.EncodeToString(whole.Sum(nil))
		if p.copy != nil {
			if _, err := p.copy.Write([]byte{'\n'}); err != nil {
				return err
			}
		}
	}
	p.copy = nil
	if len(p.marks) == 0 {
		return nil
	}
	return p.hash(ctx, p.marks[len(p.marks)-1])
}
