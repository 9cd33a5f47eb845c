package snapshot

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"maps"
)

// lookedBack is which part of a file, at its end, is searched for the newest valid snapshot
// and the anchors that its peg-outs name before the whole file is read: an eighth.
const lookedBack = 8

// NewestValid returns the report on the newest valid snapshot in the first size bytes of
// r. It reads backward as long as that is cheap; in all, its time does not grow faster than
// the file. The error may be [ErrNoSnapshot] if none is valid.
func (j Judge) NewestValid(ctx context.Context, r io.ReaderAt, size int64) (*Report, error) {
	rep, err := j.newestValid(ctx, r, size)
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrNoSnapshot) {
		return rep, err
	}
	// A line that cannot be read does not matter before the newest valid snapshot and the
	// anchors that it names. Reading backward shows whether it is there.
	for l, err := range Backward(r, size) {
		if err != nil {
			return nil, err
		}
		if judged, err := j.Judge(ctx, r, l); err != nil || judged.Verdict == Valid {
			return judged.Report, err
		}
	}
	return nil, ErrNoSnapshot
}

func (j Judge) newestValid(ctx context.Context, r io.ReaderAt, size int64) (*Report, error) {
	lowest := int64(0)
	if j.AcceptEarlierAnchors {
		lowest = size - size/lookedBack
	}
	for reports := range j.partsBack(ctx, r, size, lowest) {
		var newest *Report // that is valid, or may be valid with earlier anchors
		for rep, err := range reports {
			if err != nil {
				return nil, err
			}
			if rep.Verdict() == Valid || j.open(rep) {
				newest = rep
			}
		}
		if newest == nil {
			continue
		}
		if newest.Verdict() == Valid {
			return newest, nil
		}
		valid, err := j.acceptedWithin(ctx, r, newest, lowest)
		if err != nil {
			return nil, err
		}
		if valid {
			return newest, nil
		}
		break
	}
	if !j.AcceptEarlierAnchors {
		return nil, ErrNoSnapshot
	}
	return j.newestAccepted(ctx, r, size)
}

// open reports whether a snapshot may be valid with earlier anchors.
func (j Judge) open(rep *Report) bool {
	return j.AcceptEarlierAnchors && rep.Verdict() == PegOutMismatch
}

// acceptedWithin reports whether the anchors at or after lowest make an open snapshot valid.
func (j Judge) acceptedWithin(ctx context.Context, r io.ReaderAt, rep *Report, lowest int64) (bool, error) {
	named, err := j.anchorsNamed(ctx, r, rep)
	if errors.As(err, new(*TooManyAnchorsError)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	earlier, err := j.earlierAnchors(ctx, r, rep.Offset, lowest, named)
	if err != nil {
		return false, err
	}
	judged, err := j.Accept(ctx, r, rep, earlier)
	return judged.Verdict == Valid, err
}

// newestAccepted is NewestValid with earlier anchors accepted. It reads the file in order,
// so that the earlier anchors are known at each snapshot. If they need more memory than the
// limit allows, the file is read once for each share of them.
func (j Judge) newestAccepted(ctx context.Context, r io.ReaderAt, size int64) (newest *Report, err error) {
	seed := maphash.MakeSeed()
	var out bitSet // the numbers of the snapshots that name an anchor which no earlier snapshot has
	for todo := []share{{}}; len(todo) > 0; {
		now := todo[0]
		todo = todo[1:]
		in := func(hash string) bool { return now.has(maphash.String(seed, hash)) }
		earlier := AnchorSet{}
		newest = nil
		number := 0
		for rep, err := range j.onAllCores(ctx, r, 0, size, size) {
			if err != nil {
				return nil, err
			}
			switch valid := rep.Verdict() == Valid; {
			case !valid && (!j.open(rep) || out.has(number)):
			case valid:
				newest = rep
			default:
				lacks, err := j.lacks(ctx, r, rep, earlier, in)
				if err != nil {
					return nil, err
				}
				if lacks {
					out.add(number)
				} else {
					newest = rep
				}
			}
			number++
			if !rep.Holding() || !in(rep.Anchor.Hash) {
				continue
			}
			for !j.hasRoom(earlier) {
				var other share
				now, other = now.split()
				todo = append(todo, other)
				maps.DeleteFunc(earlier, func(hash string, _ struct{}) bool { return !in(hash) })
			}
			if in(rep.Anchor.Hash) {
				earlier[rep.Anchor.Hash] = struct{}{}
			}
		}
	}
	if newest == nil {
		return nil, ErrNoSnapshot
	}
	return newest, nil
}

// lacks reports whether a peg-out names neither the snapshot's own anchor nor an earlier
// one. It considers only the anchors for which in returns true.
func (j Judge) lacks(ctx context.Context, r io.ReaderAt, rep *Report, earlier AnchorSet, in func(string) bool) (bool, error) {
	lacks := func(hash []byte) bool { return !earlier.Has(hash) && in(string(hash)) }
	// The first peg-out is known without reading them again.
	if first := rep.pegOuts.hash; string(first) != rep.Anchor.Hash && lacks(first) {
		return true, nil
	}
	for p, err := range j.PegOutProblems(ctx, r, rep) {
		if err != nil || lacks(p.AnchorHash) {
			return err == nil, err
		}
	}
	return false, nil
}

// share is the set of strings whose hashes end in the same bits; the zero value is all.
type share struct{ mask, bits uint64 }

func (s share) has(hash uint64) bool { return hash&s.mask == s.bits }

// split divides a share in two.
func (s share) split() (share, share) {
	bit := s.mask + 1
	return share{s.mask | bit, s.bits}, share{s.mask | bit, s.bits | bit}
}

// bitSet is a set of numbers.
type bitSet []uint64

func (s *bitSet) add(n int) {
	for len(*s) <= n/64 {
		*s = append(*s, 0)
	}
	(*s)[n/64] |= 1 << (n % 64)
}

func (s bitSet) has(n int) bool { return n/64 < len(s) && s[n/64]&(1<<(n%64)) != 0 }
