package initreorgdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
)

// damagedArchive is the problem of an archive that could be unpacked only in part.
const damagedArchive rocksfile.ProblemKind = "damaged archive"

// source is a database that is copied from.
type source struct {
	name    string // as given on the command line
	folder  string // of the database: name, or where the archive was unpacked to
	archive bool
	damage  []rocksfile.Problem // of the archive
}

// shown is the source's name in messages.
func (s *source) shown() string { return durable.Shown(s.name) }

// named is an error in which the name of the archive replaces the folder that it was
// unpacked to.
type named struct {
	err  error
	from *source
}

func (e *named) Error() string {
	return strings.ReplaceAll(e.err.Error(), e.from.folder, e.from.shown())
}

func (e *named) Unwrap() error { return e.err }

// named makes an error of reading the source name it as given on the command line.
func (s *source) named(err error) error {
	if err == nil || !s.archive {
		return err
	}
	return &named{err, s}
}

// explain adds the exit code and a hint to an error of reading the source.
func (s *source) explain(err error) error { return reorgtool.Explain(s.shown(), s.named(err)) }

// openSources finds the databases to copy from. Archives are unpacked in scratch, which may
// be nil if no source is an archive.
func openSources(ctx context.Context, o Options, scratch *durable.Scratch) ([]*source, error) {
	var sources []*source
	for i, name := range o.CopyFrom {
		s := &source{name: name, folder: name}
		if isFile(name) {
			s.archive, s.folder = true, filepath.Join(scratch.Path, fmt.Sprint(i))
			if err := s.unpack(ctx, o.MaxUnpacked); err != nil {
				return nil, err
			}
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// isFile reports whether a source exists and is not a folder. A missing source counts as a
// folder, so that the error is that of opening a database.
func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

func (s *source) unpack(ctx context.Context, limit int64) (err error) {
	f, err := durable.OpenRegular(s.name, os.O_RDONLY)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Mkdir(s.folder, 0o700); err != nil {
		return err
	}
	to, err := os.OpenRoot(s.folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	done, err := archive.Unpack(ctx, f, to, archive.Limits{Members: archive.MaxMembers, Bytes: limit})
	return s.judge(done, err)
}

// judge decides what becomes of an archive after an error of unpacking it. A damaged one
// counts as far as it could be unpacked.
func (s *source) judge(done archive.Unpacked, err error) error {
	var refused *archive.RefusedError
	var damaged *archive.DamagedError
	var format *input.FormatError
	var memory *input.MemoryError
	var failed *fs.PathError
	switch {
	case errors.As(err, &damaged) && done.Files > 0:
		s.damage = []rocksfile.Problem{{Kind: damagedArchive, Why: damaged.Error(), Lost: true}}
		return nil
	case errors.As(err, &damaged):
		return exit.WrongData("name another backup instead: ailee-backup list shows them", fmt.Errorf("%s: nothing can be unpacked: %w", s.shown(), err))
	case errors.As(err, &refused) && refused.Limit:
		return exit.Fail(flags.MoreUnpacked, fmt.Errorf("%s: %w", s.shown(), err)) // the archive unpacks to more than N bytes
	case errors.As(err, &refused):
		return exit.Fail("no backup of a database has this: unpack it into a separate folder, and name the database in it", fmt.Errorf("%s: %w", s.shown(), err))
	case errors.As(err, &format):
		return exit.Fail(format.Format.UnpackHint(s.shown()), fmt.Errorf("%s: not a directory, and %w", s.shown(), err))
	case errors.As(err, &memory):
		return exit.Fail(memory.Hint(), fmt.Errorf("%s: %w", s.shown(), err))
	case errors.Is(err, archive.ErrNoArchive):
		return exit.Fail("name the folder of a database, or an archive of one", fmt.Errorf("%s: not a directory, and %w", s.shown(), err))
	case errors.As(err, &failed):
		return exit.Fail(durable.Hint(err), fmt.Errorf("unpack %s: %w", s.shown(), err))
	}
	return err
}
