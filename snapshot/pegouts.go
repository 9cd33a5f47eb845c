package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
)

// PegOutProblem is a peg-out that does not carry the hash of its snapshot's own anchor.
// It is valid until the next one is asked for.
type PegOutProblem struct {
	PegID      []byte
	AnchorHash []byte // the hash that it carries instead; empty if none
}

// PegOutProblems yields every peg-out of the snapshot, in file order, that does not carry
// the hash of the snapshot's own anchor. If the snapshot has no anchor, it yields none.
// The rules for the iteration are those of [Checker.Records].
func (c *Checker) PegOutProblems(ctx context.Context, r io.ReaderAt, rep *Report) iter.Seq2[PegOutProblem, error] {
	return func(yield func(PegOutProblem, error) bool) {
		if !rep.pegOutsDiffer() {
			return
		}
		for rec, err := range c.Records(ctx, r, rep, PegOuts) {
			if err != nil {
				yield(PegOutProblem{}, err)
				return
			}
			hash := rec.str(3)
			if len(hash) > 0 && string(hash) == rep.Anchor.Hash {
				continue
			}
			if !yield(PegOutProblem{rec.str(0), hash}, nil) {
				return
			}
		}
	}
}

// AnchorSet is a set of anchor hashes as they are written in the file.
type AnchorSet map[string]struct{}

// Has reports whether the hash is in the set.
func (s AnchorSet) Has(hash []byte) bool { _, ok := s[string(hash)]; return ok }

// Holding reports whether the snapshot's own root and anchor hold, whatever its
// peg-outs say. Later peg-outs may name such an anchor.
func (r *Report) Holding() bool { return r.AnchorVerdict == AnchorHolds }

// TooManyAnchorsError is returned if the peg-outs name more anchors than the memory
// limit allows to look up.
type TooManyAnchorsError struct{ Limit int64 }

func (e *TooManyAnchorsError) Error() string {
	return fmt.Sprintf("the peg-outs name more anchors than fit in the memory limit of %d bytes", e.Limit)
}

// anchorSetEntry is roughly how much memory an anchor hash takes in an [AnchorSet], in bytes.
const anchorSetEntry = 160

// Add puts an anchor hash into the set, within the Checker's memory limit.
func (c *Checker) Add(set AnchorSet, hash string) error {
	if !c.hasRoom(set) {
		return &TooManyAnchorsError{Limit: c.memory.limit}
	}
	set[hash] = struct{}{}
	return nil
}

// hasRoom reports whether the memory limit allows one more anchor hash in the set.
func (c *Checker) hasRoom(set AnchorSet) bool {
	return int64(len(set)+1)*anchorSetEntry <= c.memory.limit
}

// anchorsNamed returns the hashes that the snapshot's peg-outs name, except for that of its
// own anchor and those that cannot be an anchor's. The error may be a
// *[TooManyAnchorsError].
func (c *Checker) anchorsNamed(ctx context.Context, r io.ReaderAt, rep *Report) (AnchorSet, error) {
	named := AnchorSet{}
	for p, err := range c.PegOutProblems(ctx, r, rep) {
		if err != nil {
			return nil, err
		}
		if len(p.AnchorHash) != hex.EncodedLen(sha256.Size) || named.Has(p.AnchorHash) {
			continue
		}
		if err := c.Add(named, string(p.AnchorHash)); err != nil {
			return nil, err
		}
	}
	return named, nil
}
