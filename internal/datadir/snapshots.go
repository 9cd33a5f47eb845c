package datadir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/printable"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// lookForm checks snapshots-form. It opens the snapshot file, once for all facts, and takes its
// size.
func (l *looker) lookForm(ctx context.Context) error {
	path := l.view.Place.Snapshots
	form := &SnapshotForm{}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		form.Form = MissingForm
		l.view.SnapshotForm = form
		l.wrong(SnapshotsForm, form, "there is no %s", path)
		return nil
	case err != nil:
		l.couldNot(SnapshotsForm, err)
		return nil
	case !info.Mode().IsRegular():
		form.ID, form.Form, form.What = idOf(info), OtherForm, kindOf(info)
		l.view.SnapshotForm = form
		l.wrong(SnapshotsForm, form, "%s is %s", path, form.What)
		return nil
	}
	f, err := durable.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		l.couldNot(SnapshotsForm, err)
		return nil
	}
	l.closers = append(l.closers, f)
	if info, err = f.Stat(); err == nil {
		form.ID, form.Size = idOf(info), info.Size()
		form.Form, err = formOf(ctx, f, form.Size)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.couldNot(SnapshotsForm, err)
		return nil
	}
	l.view.SnapshotForm = form
	if form.Form == PlainForm {
		l.file, l.size = f, form.Size
		l.sound(SnapshotsForm, form, "%d bytes", form.Size)
		return nil
	}
	l.wrong(SnapshotsForm, form, "%s", map[Form]string{
		EmptyForm: "it is empty",
		ZerosForm: fmt.Sprintf("it is %d bytes of zeros", form.Size),
		GzipForm:  "it is compressed with gzip",
		ZstdForm:  "it is compressed with zstd",
		TarForm:   "it is a tar archive",
		JSONForm:  "it is JSON, not a snapshot file",
		UTF16Form: "it was saved as UTF-16",
	}[form.Form])
	return nil
}

// kindOf names something that is not a regular file.
func kindOf(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// formOf says what the content of a file looks like. It reads a file of zeros to its end.
func formOf(ctx context.Context, f io.ReaderAt, size int64) (Form, error) {
	if size == 0 {
		return EmptyForm, nil
	}
	start := make([]byte, input.StartLen)
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	format := input.FormatOf(start[:n])
	switch {
	case format != nil && format.Name == input.Gzip:
		return GzipForm, nil
	case format != nil && format.Name == input.Zstd:
		return ZstdForm, nil
	case input.IsTar(start[:n]):
		return TarForm, nil
	case input.IsUTF16(start[:n]):
		return UTF16Form, nil
	case input.IsJSON(start[:n]):
		return JSONForm, nil
	}
	zeros, err := allZeros(ctx, f, size)
	if err != nil || zeros {
		return ZerosForm, err
	}
	return PlainForm, nil
}

func allZeros(ctx context.Context, f io.ReaderAt, size int64) (bool, error) {
	buf := make([]byte, 256<<10)
	for at := int64(0); at < size; at += int64(len(buf)) {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if len(bytes.Trim(buf[:n], "\x00")) > 0 || n == 0 {
			return false, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// lookLatest checks snapshots-latest.
func (l *looker) lookLatest(ctx context.Context) error {
	located, err := snapshot.Latest(l.file, l.size)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		l.view.Latest = &Latest{}
		l.wrong(SnapshotsLatest, l.view.Latest, "no complete snapshot")
		return nil
	}
	checker := snapshot.NewChecker(l.Memory)
	var report *snapshot.Report
	if err == nil {
		report, err = checker.Check(ctx, l.file, located)
	}
	if err != nil {
		return l.unless(ctx, SnapshotsLatest, err)
	}
	latest := &Latest{Complete: true, Offset: located.Offset, Size: located.Size, Verdict: string(report.Verdict()), Root: report.Root,
		PegOuts: report.Counts[snapshot.PegOuts], Time: l.timeOf(report)}
	if a := report.Anchor; a != nil {
		latest.Anchor = printable.Text(a.Hash)
		latest.Height = heightIn(a.RecoveryMetadata)
	}
	l.view.Latest, l.latest, l.checker = latest, report, checker
	if !report.Holding() {
		l.wrong(SnapshotsLatest, latest, "at byte %d: %s", latest.Offset, latest.Verdict)
		return nil
	}
	f := l.sound(SnapshotsLatest, latest, "valid, %s", snapshottool.ShortTime(latest.Time.Ms))
	if latest.Time.Doubt {
		f.Remark = "its time is in doubt: " + snapshottool.ShortTime(latest.Time.Ms)
	}
	return nil
}

// timeOf returns the time of a snapshot: that of its anchor if the anchor holds, since the hash
// covers it, else its own.
func (l *looker) timeOf(r *snapshot.Report) Time {
	ms := r.TimestampMs
	if r.Holding() && r.Anchor.Bound() {
		ms = r.Anchor.TimestampMs
	}
	return Time{Ms: ms, Doubt: l.inDoubt(ms)}
}

// ahead is how far a time may be ahead of the clock without being in doubt.
const ahead = time.Hour

// inDoubt reports whether a time in Unix milliseconds is beyond what a clock can show, or too
// far ahead of this one.
func (l *looker) inDoubt(ms uint64) bool {
	_, ok := snapshottool.UTC(ms)
	return !ok || time.UnixMilli(int64(ms)).After(l.now.Add(ahead))
}

// lookTail checks snapshots-tail. If there is a tail, it checks the size again a second later:
// a file that grew is being written.
func (l *looker) lookTail(ctx context.Context) error {
	latest := l.view.Latest
	tail, err := tailOf(l.file, latest.Offset+latest.Size, l.size)
	if err == nil && (tail.Length > 0 || tail.NoNewline) {
		if err := l.wait(ctx, again); err != nil {
			return err
		}
		info, statErr := l.file.Stat()
		tail.Growing = statErr == nil && info.Size() != l.size
	}
	if err != nil {
		return l.unless(ctx, SnapshotsTail, err)
	}
	l.view.Tail = tail
	switch {
	case tail.Length == 0 && !tail.NoNewline:
		l.sound(SnapshotsTail, tail, "none")
	case tail.Growing:
		l.sound(SnapshotsTail, tail, "%d bytes from byte %d, being written", tail.Length, tail.Offset)
	case tail.Length == 0:
		l.wrong(SnapshotsTail, tail, "the last line has no newline, at byte %d", l.size)
	default:
		l.wrong(SnapshotsTail, tail, "%d bytes from byte %d, not growing", tail.Length, tail.Offset)
	}
	return nil
}

// tailOf checks what follows the last complete snapshot, which ends at end.
func tailOf(r io.ReaderAt, end, size int64) (*Tail, error) {
	findings, err := snapshot.TailFindings(r, end, size)
	if err != nil {
		return nil, err
	}
	noNewline := slices.ContainsFunc(findings, func(f snapshot.Finding) bool { return f.Kind == snapshot.MissingNewline })
	return &Tail{Offset: end, Length: size - end, NoNewline: noNewline}, nil
}

// heightIn returns the Bitcoin height in an anchor's metadata (btc_height=), 0 if it has none.
func heightIn(metadata string) uint64 {
	var height uint64
	for part := range bytes.SplitSeq([]byte(metadata), []byte(",")) {
		if _, err := fmt.Sscanf(string(part), "btc_height=%d", &height); err == nil {
			return height
		}
	}
	return 0
}

// lookNames checks snapshots-names.
func (l *looker) lookNames() {
	path := l.view.Place.Snapshots
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	names := &Names{}
	if err == nil {
		names.Links = linksOf(info)
		if names.Links > 1 {
			err = names.find(path, info, l.view.Place.Path, l.backupDir())
		}
	}
	if err != nil {
		l.couldNot(SnapshotsNames, err)
		return
	}
	l.view.Names = names
	switch {
	case len(names.Backups) > 0:
		l.wrong(SnapshotsNames, names, "the live file is also the backup %s", filepath.Base(names.Backups[0]))
	case names.Links > 1:
		f := l.sound(SnapshotsNames, names, "%d names", names.Links)
		f.Remark = fmt.Sprintf("the file has %d names (hard links)", names.Links)
		if len(names.Found) > 0 {
			f.Remark += ", one of them " + names.Found[0]
		}
	default:
		l.sound(SnapshotsNames, names, "no other name")
	}
}
