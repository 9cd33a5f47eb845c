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

// Snapshots is what a snapshot file holds. A snapshot is valid where its own root and
// anchor hold: which earlier anchors its peg-outs may name cannot be told from a file that
// was pruned, and is no damage. It must be closed: of a large file, what is known of each
// snapshot lies in a temporary file. Not safe for concurrent use.
type Snapshots struct {
	Size int64 // bytes that were looked at
	// End is where the latest complete snapshot ends, 0: there is none. The file up to there,
	// with the newline that the last line may lack, is its content: of ContentSize bytes, with
	// the digest SHA256 in hex.
	End, ContentSize int64
	SHA256           string

	Complete    int64 // snapshots that a node sees
	Valid       int64 // those of them that are valid
	Doubtful    int64 // valid ones whose time is in doubt
	PegOutsOpen int64 // valid ones with a peg-out that does not carry their own anchor's hash

	// Latest is the one that a node loads, and Oldest the first complete one, nil where there
	// is none. First is the first valid one of the file. Newest is the valid one with the
	// greatest time that is not in doubt, the later in the file of two; where all are in doubt
	// the last valid one.
	Latest, Oldest, First, Newest *Snapshot

	// Bad are the complete snapshots that are not valid, the first [MaxListed] of them.
	Bad []Snapshot
	// Hidden are valid snapshots that no node sees, the first [MaxListed] of them, of
	// HiddenCount.
	Hidden      []Snapshot
	HiddenCount int64
	// HiddenBad is how many complete ones that no node sees are not valid.
	HiddenBad int64
	// Outside are the findings on bytes that belong to no complete snapshot: a torn tail,
	// a missing newline, stray bytes, hidden snapshots.
	Outside []snapshot.Finding

	r        io.ReaderAt
	o        SnapshotsOptions
	prefixes map[int64]string
	valid    *spill.Store  // an entry of each valid one, in file order
	digests  *spill.Sorter // nil until somebody asks for it
	anchors  *spill.Sorter // anchor hash, number
}

// MaxListed bounds the lists of single snapshots.
const MaxListed = 100

// Snapshot is one snapshot of a file.
type Snapshot struct {
	Number  int64 // 1 is the oldest complete one of the file; 0: no node sees it
	Offset  int64
	Size    int64
	Verdict snapshot.Verdict // of the nodes' verifier; "" for one that is too large to be read

	TimestampMs uint64    // as its line says, Unix milliseconds
	Time        time.Time // of its anchor if that holds, else of its line; zero for one that no calendar has
	Doubtful    bool      // Time is zero, or more than an hour ahead of the clock
	Root        string    // hex
	Anchor      string    // the anchor's hash, hex; "" without an anchor
	SHA256      string    // of its bytes, the last newline included whether it is there or not; "" in Bad and Hidden
}

// maxAhead is how far ahead of the clock a time may be.
const maxAhead = time.Hour

// InDoubt reports whether a time may be that of a clock that was wrong: more than an hour
// ahead of now, or zero, which stands for one that no calendar has.
func InDoubt(at, now time.Time) bool { return at.IsZero() || at.After(now.Add(maxAhead)) }

// SnapshotsOptions are those of [ReadSnapshots].
type SnapshotsOptions struct {
	Now    time.Time        // the clock, against which times are in doubt
	Memory *snapshot.Memory // nil for [snapshot.DefaultMaxMemory]
	// DigestsAt are lengths of beginnings of the file whose SHA-256 is wanted as well: see
	// [Snapshots.PrefixSHA256].
	DigestsAt []int64
	// TempDir is the folder for temporary files, which have no name; "": the system's.
	TempDir string
	// Progress is told the bytes that were read since it was called last; nil: nobody is.
	Progress func(int64)
	// Copy, where it is not nil, is given the content while it is read: the very bytes that
	// SHA256 is of. An error of it ends the reading.
	Copy io.Writer
}

// ReadSnapshots reads the first size bytes of a snapshot file, once, on all cores. What
// is wrong with them is no error: see Valid, Bad and Outside. The error is the context's,
// one from r, [snapshot.ErrShrunk], [snapshot.ErrChanged], a *[snapshot.LineTooLongError]
// or *[snapshot.SectionTooLargeError], or one of the temporary file: the file could not
// be looked at. r is read again by what compares: it must stay open until Close.
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

// survey looks at all that was meant as a snapshot.
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

// add takes a complete snapshot that a node sees; report is nil for one that is too large
// to be read.
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

// describe says what is known of a snapshot without its digest.
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

// digestOf sets the digests of snapshots that the list has, once each.
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
			one.SHA256 = s.SHA256 // all there is
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

// hashSnapshot hashes a snapshot, with the last newline that it may lack.
func hashSnapshot(ctx context.Context, sum hash.Hash, r io.ReaderAt, offset, size int64, buf []byte) error {
	last, err := readRange(ctx, sum, r, offset, offset+size, buf)
	if err == nil && last != '\n' {
		sum.Write([]byte{'\n'})
	}
	return err
}

// digestStep is how much is hashed or copied between two looks at the context.
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

// PrefixSHA256 returns the SHA-256 of the file's first n bytes, in hex, for a length of
// DigestsAt that is not beyond Size, and for End.
func (s *Snapshots) PrefixSHA256(n int64) (sha256 string, ok bool) {
	sha256, ok = s.prefixes[n]
	return sha256, ok
}

// Sound reports whether a node can load the latest snapshot, and nothing hides valid ones
// from it. A torn tail or older snapshots that are not valid do not matter here.
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

// prefixes hashes the beginning of a file while that is being checked, as far as it was.
type prefixes struct {
	r     io.ReaderAt
	marks []int64 // lengths that are still to be noted, ascending
	sums  map[int64]string
	sum   hash.Hash
	copy  io.Writer // what is hashed is written to it, unless it is nil
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
				for range p.until { // whoever tells must not wait
					continue
				}
				return err
			}
		}
		return nil
	})
	return p
}

// to tells it how far the file was checked.
func (p *prefixes) to(end int64) {
	select {
	case <-p.until: // it was not there yet
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

// pass hashes up to next, and writes it to the copy.
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

// end waits for it, and takes the digests.
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
