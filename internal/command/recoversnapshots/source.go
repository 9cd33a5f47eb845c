package recoversnapshots

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/packed"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// source is an input file and what was found in it.
type source struct {
	name  string
	given *input.Input // the file with that name
	in    *input.Input // its content: given, or what it was unpacked to
	mtime time.Time    // of given, when it was opened
	cut   error        // why a compressed file could not be unpacked to its end

	first, end int64 // the numbers of its records

	taken, takenBytes   int64
	hidden              int64 // how many of those taken no node sees
	known, knownBytes   int64 // duplicates of an earlier record
	invalid             int64
	firstInvalid        int64 // offset
	firstVerdict        snapshot.Verdict
	pegOuts             int64 // how many of the invalid ones are invalid only for their peg-outs
	torn, firstTorn     int64 // how many, and the offset of the first
	timesBack, backFrom int64 // how often the time goes backward, and the offset of the first
	lastTime            uint64
}

// dropped returns how many bytes are neither in OUT nor duplicates of an earlier snapshot.
func (s *source) dropped() int64 { return s.in.Size - s.takenBytes - s.knownBytes }

func (s *source) addInvalid(offset int64, v snapshot.Verdict) {
	if s.invalid == 0 {
		s.firstInvalid, s.firstVerdict = offset, v
	}
	s.invalid++
	if v == snapshot.PegOutMismatch {
		s.pegOuts++
	}
}

func (s *source) addTorn(offset int64) {
	if s.torn == 0 {
		s.firstTorn = offset
	}
	s.torn++
}

// addTime notes the time of the next snapshot.
func (s *source) addTime(r *snapshot.Report) {
	if r.TimestampMs < s.lastTime {
		if s.timesBack == 0 {
			s.backFrom = r.Offset
		}
		s.timesBack++
	}
	s.lastTime = r.TimestampMs
}

// openSource opens a file, and refuses one whose content cannot be read.
func openSource(ctx context.Context, name string) (*source, error) {
	in, err := input.OpenRegular(ctx, name)
	switch {
	case errors.Is(err, input.ErrNotSeekable):
		return nil, exit.Fail("write its content to a file first", err)
	case err != nil:
		return nil, exit.Fail(snapshottool.ReadHint(err), err)
	}
	s := &source{name: name, given: in, in: in}
	start, err := in.Start()
	if err == nil {
		s.mtime, err = s.modified()
	}
	if f := input.FormatOf(start); err == nil && f != nil && !f.Readable() {
		err = exit.Failf(f.UnpackHint(name), "%s is %w", name, &input.FormatError{Format: f})
	}
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return s, nil
}

// foreign says what a source is, if not a snapshot file, compressed or not; nil if it may be
// one.
func (s *source) foreign() *snapshottool.Foreign {
	return snapshottool.Reader{Reads: []string{input.Gzip, input.Zstd}}.Foreign(s.given)
}

func (s *source) modified() (time.Time, error) {
	info, err := s.given.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// clockStep is more than the resolution of any file system's times.
const clockStep = 2 * time.Second

// touched reports whether the source may have been written to since it was opened.
func (s *source) touched() (bool, error) {
	mtime, err := s.modified()
	return !mtime.Equal(s.mtime) || time.Since(mtime) < clockStep, err
}

// unpack unpacks a compressed source to an unnamed file in the folder of OUT. A damaged one yields
// what comes before the damage.
func (s *source) unpack(ctx context.Context, output string, limit int64) error {
	start, err := s.given.Start()
	if err != nil || input.FormatOf(start) == nil {
		return err
	}
	f, err := durable.Unnamed(output)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	out := &packed.Bounded{To: f, Left: limit, Full: errTooMuch}
	s.in = input.Regular(ctx, f, 0)
	err = packed.Decompress(ctx, out, s.given.Section(), s.given.Size)
	s.in.Size = limit - out.Left
	var damaged *packed.DamagedError
	var memory *input.MemoryError
	var failed *packed.WriteError
	switch {
	case errors.As(err, &damaged):
		s.cut = damaged.Err
		return nil
	case errors.Is(err, errTooMuch):
		return exit.Failf(flags.MoreUnpacked, "%s unpacks to more than %d bytes", s.name, limit)
	case errors.As(err, &failed):
		return exit.Fail(durable.Hint(err), fmt.Errorf("unpack %s: %w", s.name, err))
	case errors.As(err, &memory):
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return err
}

// errTooMuch says that a source unpacks to more than is allowed.
var errTooMuch = errors.New("more than is allowed")

// close closes the source's files.
func (s *source) close() error {
	err := s.given.Close()
	if s.in != s.given {
		err = errors.Join(err, s.in.File.Close())
	}
	return err
}
