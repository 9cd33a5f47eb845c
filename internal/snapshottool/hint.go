package snapshottool

import (
	"errors"
	"io/fs"

	"ailee-recovery/internal/durable"
	"ailee-recovery/snapshot"
)

// ReadHint says what to do about an error of reading a snapshot file, "" where there is
// nothing to say.
func ReadHint(err error) string {
	var line *snapshot.LineTooLongError
	var section *snapshot.SectionTooLargeError
	var anchors *snapshot.TooManyAnchorsError
	switch {
	case errors.As(err, &line), errors.As(err, &section), errors.As(err, &anchors):
		return "raise the limit with --max-memory, for example --max-memory 1GiB"
	case errors.Is(err, snapshot.ErrShrunk), errors.Is(err, snapshot.ErrChanged):
		return "someone replaced or cut the file meanwhile: run the command again"
	}
	if hint := durable.Hint(err); hint != "" || !errors.Is(err, fs.ErrNotExist) {
		return hint
	}
	return "check the path; if the file is gone, see how to get it back: ailee-doctor"
}
