package snapshottool

import (
	"errors"
	"io"
	"slices"

	"ailee-recovery/internal/input"
	"ailee-recovery/snapshot"
)

// Latest is the snapshot that a node would load from a file or pipe: the last complete
// one. A pipe is spooled to files without a name, which disappear with it. Not safe for
// concurrent use.
type Latest struct {
	snapshot.Located
	// Reader has the bytes of the snapshot, at the offsets of Located.
	Reader io.ReaderAt

	outside func() ([]snapshot.Finding, error)
}

// FindLatest finds the latest snapshot of in. Of a file only the end is read. A pipe is read
// to its end through content, which is in or a buffer over it. The error is
// [snapshot.ErrNoSnapshot] or one from reading; Outside may be called even then.
func FindLatest(in *input.Input, content io.Reader) (*Latest, error) {
	if !in.Seekable {
		return latestOfStream(snapshot.NewStream(content))
	}
	r := in.Section()
	located, err := snapshot.Latest(r, in.Size)
	latest := &Latest{Located: located, Reader: r}
	latest.outside = func() ([]snapshot.Finding, error) { return snapshot.TailFindings(r, located.End(), in.Size) }
	return latest, err
}

func latestOfStream(s *snapshot.Stream) (*Latest, error) {
	latest := &Latest{}
	var stray Stray
	latest.outside = func() ([]snapshot.Finding, error) {
		return slices.Concat(s.HiddenFindings(), stray.Findings(), s.TailFindings()), nil
	}
	for {
		located, r, err := s.Next()
		switch {
		case errors.Is(err, io.EOF) && latest.Reader == nil:
			return latest, snapshot.ErrNoSnapshot
		case errors.Is(err, io.EOF):
			return latest, nil
		case err != nil:
			return latest, err
		}
		stray.Before(located)
		latest.Located, latest.Reader = located, r
	}
}

// Outside reports on the bytes that belong to no complete snapshot: those after the
// latest one and, for a pipe, which was completely read, those before it as well.
func (l *Latest) Outside() ([]snapshot.Finding, error) { return l.outside() }
