package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ailee-recovery/internal/archive"
	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/packed"
	"ailee-recovery/internal/snapshottool"
)

// prepare opens the snapshot file now: a prune may replace it later, and perhaps only root may
// open it.
func (r *run) prepare(p *part) {
	p.file, p.openErr = durable.OpenRegular(p.source, os.O_RDONLY)
	if p.openErr == nil {
		r.later(p.file.Close)
	}
}

// notOpened reports why the source of a part cannot be read.
func (r *run) notOpened(p *part, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		r.problem(p, exit.Wrong, r.restoreHint(p), "%s is missing", p.source)
		return
	}
	r.problem(p, exit.Failed, durable.Hint(err), "%s cannot be read: %v", p.source, err)
}

// restoreHint says how to get back a part that is missing, or has nothing to back up.
func (r *run) restoreHint(p *part) string {
	if p.kind == backups.Database { // reorg_db is missing, or is not a database
		return "restore it: " + r.command("ailee-restore", "--db-only") + "; only a new node starts with an empty one"
	}
	return "restore it: " + r.command("ailee-restore", "--snapshot-only") // FILE is missing, or has no complete snapshot
}

// backUpSnapshots checks the snapshot file and copies it at the same time, up to the end of its
// latest complete snapshot. What is appended after this point is for the next run.
func (r *run) backUpSnapshots(ctx context.Context, p *part, before []backups.Source) error {
	if p.openErr != nil {
		r.notOpened(p, p.openErr)
		return nil
	}
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	c := &copying{run: r, part: p}
	defer c.close()
	if !r.DryRun {
		if err := c.create(ctx); err != nil {
			return c.failed(err)
		}
	}
	bar := terminal.BytesBar(r.out.Err, !r.out.Quiet(), "backing up "+p.kind.Source(), info.Size())
	defer bar.Done()
	s, err := content.ReadSnapshots(ctx, c.reading(), info.Size(), content.SnapshotsOptions{Now: r.start, Memory: r.memory, TempDir: r.scratch,
		DigestsAt: r.dir.Catalogue.DigestsAt(), Progress: bar.Add, Copy: c.to()})
	bar.Done()
	if err != nil {
		return c.failed(err)
	}
	r.later(s.Close)
	p.snapshots = s
	in := input.Regular(ctx, p.file, info.Size())
	in.Name = p.source
	if !r.sound(p, s, in) {
		return nil
	}
	b := &backups.Backup{Kind: p.kind, Sequence: r.dir.Catalogue.Sequence, Made: r.start, Copy: c.how}
	b.SetContent(s, nil)
	if r.DryRun {
		return r.wouldMake(ctx, p, b)
	}
	switch err := c.finish(ctx, b); {
	case errors.Is(err, durable.ErrNotWritten):
		return r.notWritten(p, err)
	case err != nil:
		return c.failed(err)
	}
	if b.Name, err = r.publish(p.kind, c.form(), c.place); err != nil {
		return c.failed(err)
	}
	if err := c.readBack(ctx, b); err != nil {
		return r.notReadBack(p, b, err)
	}
	if after := sourceFiles(p); same(before, after) && settled(after, time.Now()) {
		b.Source = after
	}
	p.plain = c.plain
	r.later(c.plain.Close)
	return r.place(ctx, p, b)
}

// sound reports whether the file may be backed up, and prints why not.
func (r *run) sound(p *part, s *content.Snapshots, in *input.Input) bool {
	const kept = "; it was not backed up, the earlier backups are kept"
	switch {
	case s.Latest == nil:
		if f := (snapshottool.Reader{}).Foreign(in); f != nil {
			r.problem(p, exit.Wrong, r.restoreHint(p), "%v%s", f, kept)
			return false
		}
		r.problem(p, exit.Wrong, r.restoreHint(p), "%s: no complete snapshot%s", p.source, kept)
		return false
	case !s.LatestValid():
		r.problem(p, exit.Wrong, "find the newest valid snapshot: "+exit.Command("ailee_l2_verify", "--all", "--snapshot", p.source),
			"%s: the latest snapshot does not verify: %s%s", p.source, s.Latest.Verdict, kept)
		return false
	}
	if s.HiddenCount > 0 {
		r.problem(p, exit.Wrong, "see what can be recovered: "+exit.Command("ailee_recover_snapshots", "--dry-run", p.source, "OUT"),
			"%s: %d valid snapshot(s) hidden from nodes, the first at byte %d; the backup ends at byte %d", p.source, s.HiddenCount, s.Hidden[0].Offset, s.End)
	}
	return true
}

// copying is a copy of the snapshot file that does not have its name yet.
type copying struct {
	*run
	part  *part
	how   string
	plain *os.File  // the uncompressed copy
	back  *readBack // reads plain back while it is written; nil for a clone
	// packed is the compressed copy, nil without compression.
	packed     *os.File
	packedSum  hash.Hash
	compressor io.WriteCloser
}

func (c *copying) close() {
	if c.back != nil {
		_ = c.back.abort()
	}
	for _, f := range []*os.File{c.plain, c.packed} {
		if f != nil && f != c.part.plain {
			_ = f.Close()
		}
	}
}

// maxShared is the greatest age of the newest real copy at which a new backup may share data
// with it or with the source: a bad sector damages all files that share it.
const maxShared = 24 * time.Hour

// mayShare reports whether a backup need not be a real copy.
func (r *run) mayShare(kind backups.Kind) bool {
	for _, b := range r.dir.Catalogue.OfKind(kind) {
		if b.Copy == backups.Copied && b.Sound() {
			age := r.start.Sub(b.Made)
			return age >= 0 && age < maxShared
		}
	}
	return false
}

func (c *copying) create(ctx context.Context) (err error) {
	c.how = backups.Copied
	if c.plain, err = newFile(filepath.Join(c.scratch, "snapshots")); err != nil {
		return err
	}
	if c.mayShare(backups.Snapshots) {
		cloned, err := durable.Clone(c.plain, c.part.file)
		if err != nil {
			return err
		}
		if cloned {
			c.how = backups.Reflinked
		}
	}
	if !c.cloned() {
		c.back = newReadBack(ctx, c.plain)
	}
	if c.Compress == archive.None {
		return nil
	}
	if c.packed, err = newFile(filepath.Join(c.scratch, "packed")); err != nil {
		return err
	}
	c.how = backups.Copied
	c.packedSum = sha256.New()
	to := io.MultiWriter(&durable.BehindWriter{File: c.packed}, c.packedSum)
	c.compressor = gzip.NewWriter(to)
	if c.Compress == archive.Zstd {
		c.compressor, err = zstd.NewWriter(to)
	}
	return err
}

func newFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// cloned reports whether the plain copy is a clone that has all of the source already.
func (c *copying) cloned() bool {
	return c.plain != nil && c.how == backups.Reflinked
}

// reading returns the file that is checked.
func (c *copying) reading() io.ReaderAt {
	if c.cloned() {
		return c.plain
	}
	return c.part.file
}

// to returns the writer that gets the content while it is checked, nil for none.
func (c *copying) to() io.Writer {
	var all []io.Writer
	if c.back != nil {
		all = append(all, c.back)
	}
	if c.compressor != nil {
		all = append(all, c.compressor)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return io.MultiWriter(all...)
}

func (c *copying) form() backups.Form {
	switch c.Compress {
	case archive.Gzip:
		return backups.Gzip
	case archive.Zstd:
		return backups.Zstd
	}
	return backups.Plain
}

// file returns the copy that gets the name.
func (c *copying) file() *os.File {
	if c.packed != nil {
		return c.packed
	}
	return c.plain
}

// finish cuts the copy after its latest complete snapshot, syncs it, and compares what is on
// the disk with what was written.
func (c *copying) finish(ctx context.Context, b *backups.Backup) error {
	s := c.part.snapshots
	if c.cloned() {
		if err := c.plain.Truncate(s.End); err != nil {
			return err
		}
		if s.ContentSize > s.End {
			if _, err := c.plain.WriteAt([]byte{'\n'}, s.End); err != nil {
				return err
			}
		}
	}
	b.SHA256 = s.SHA256
	if c.compressor != nil {
		if err := c.compressor.Close(); err != nil {
			return err
		}
		b.SHA256 = hex.EncodeToString(c.packedSum.Sum(nil))
	}
	for _, f := range []*os.File{c.plain, c.packed} {
		if f == nil {
			continue
		}
		if err := c.keepAttributes(f, c.part.file, c.part.kind.Source()); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if c.back == nil {
		return nil
	}
	return c.back.check(ctx)
}

func (c *copying) place(path string) error { return durable.RenameNew(c.file().Name(), path) }

// readBack reads the backup by its name.
func (c *copying) readBack(ctx context.Context, b *backups.Backup) error {
	f, err := c.openNamed(b.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b.Size, b.MTime = info.Size(), mtime(info)
	b.Verified = backups.Verified{At: c.start, Verdict: backups.Sound}
	if c.packed == nil {
		// Its content was read back already. Check only that the name leads to this file.
		written, err := c.plain.Stat()
		if err == nil && (!os.SameFile(info, written) || info.Size() != b.ContentSize) {
			err = durable.ErrNotWritten
		}
		return err
	}
	content, file := sha256.New(), sha256.New()
	counted := &counter{to: content}
	if err := unpackTo(ctx, counted, io.TeeReader(input.NewSource(ctx, f), file)); err != nil {
		return err
	}
	if counted.n != b.ContentSize || sumOf(content) != b.ContentSHA256 || sumOf(file) != b.SHA256 {
		return durable.ErrNotWritten
	}
	return nil
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// notReadBack reports a backup that has its name and cannot be read back as it was written: the
// disk is not to be trusted, and nothing is deleted.
func (r *run) notReadBack(p *part, b *backups.Backup, err error) error {
	b.Verified = backups.Verified{At: r.start, Verdict: backups.CouldNot, Why: err.Error()}
	code := exit.Failed
	if errors.Is(err, durable.ErrNotWritten) || errors.Is(err, archive.ErrNotWhatWasPacked) {
		b.Verified.Verdict = backups.Wrong
	}
	r.dir.Catalogue.Backups = append(r.dir.Catalogue.Backups, *b)
	r.problem(p, code, "do not trust this disk: look for disk errors with dmesg", "%s cannot be read back: %v", filepath.Join(r.BackupDir, b.Name), err)
	return nil
}

// notWritten reports that the disk does not have what was written to it.
func (r *run) notWritten(p *part, err error) error {
	r.problem(p, exit.Failed, "do not trust this disk: look for disk errors with dmesg", "the copy of %s cannot be read back: %v", p.source, err)
	return nil
}

// failed reports that the copy cannot be made.
func (c *copying) failed(err error) error { return c.run.failed(c.part, err) }

// failed reports that a part could not be backed up. It returns an error only if the run was
// interrupted.
func (r *run) failed(p *part, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	hint := r.hint(err)
	if hint == "" {
		hint = snapshottool.ReadHint(err)
	}
	r.problem(p, exit.Failed, hint, "%s cannot be backed up: %v", p.source, err)
	return nil
}

// counter counts the bytes that are written.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// unpackTo unpacks a backup, and reads it to its end.
func unpackTo(ctx context.Context, to io.Writer, from io.Reader) error {
	if err := packed.UnpackFrom(ctx, to, from, 0); err != nil {
		return fmt.Errorf("%w: %w", durable.ErrNotWritten, err)
	}
	_, err := io.Copy(io.Discard, from)
	return err
}
