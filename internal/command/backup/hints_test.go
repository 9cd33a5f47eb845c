package backup

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// said returns the exit code of a run that reports something, and what it prints.
func said(t *testing.T, r *run, report func()) (code int, text string) {
	t.Helper()
	var b bytes.Buffer
	tool := Tool()
	tool.Flags, tool.Run = nil, func(_ context.Context, _ *urfave.Context, out *cli.IO) error {
		r.out = out
		report()
		return nil
	}
	require.Zero(t, cli.Execute(t.Context(), tool, []string{Name}, cli.Streams{Out: &b, Err: &b}))
	return r.code, b.String()
}

// TestDiskNotToBeTrusted: what cannot be read back as it was written is reported, and the
// catalogue has it as wrong only if it could be read.
func TestDiskNotToBeTrusted(t *testing.T) {
	for _, c := range []struct {
		err     error
		verdict backups.State
	}{
		{durable.ErrNotWritten, backups.Wrong},
		{io.ErrUnexpectedEOF, backups.CouldNot},
	} {
		dir := &backups.Dir{Catalogue: &backups.Catalogue{}}
		r := &run{Options: Options{BackupDir: "/b"}, dir: dir}
		code, text := said(t, r, func() { require.NoError(t, r.notReadBack(&part{}, &backups.Backup{Name: "x.bak"}, c.err)) })
		require.Equal(t, exit.Failed, code)
		require.Equal(t, "ailee-backup: error: /b/x.bak cannot be read back: "+c.err.Error()+"\nailee-backup: hint: do not trust this disk: look for disk errors with dmesg\n", text)
		require.Equal(t, c.verdict, dir.Catalogue.Backups[0].Verified.Verdict)
	}
	r := &run{}
	code, text := said(t, r, func() { require.NoError(t, r.notWritten(&part{source: "f"}, durable.ErrNotWritten)) })
	require.Equal(t, exit.Failed, code)
	require.Equal(t, "ailee-backup: error: the copy of f cannot be read back: "+durable.ErrNotWritten.Error()+"\nailee-backup: hint: do not trust this disk: look for disk errors with dmesg\n", text)
}

// TestLossHints: a loss is described by how much is lost and how many backups have it; one that
// could not be determined holds the backups of its line.
func TestLossHints(t *testing.T) {
	const settle = "ailee-backup: hint: how to get them back: ailee-doctor\nailee-backup: hint: if they are to be given up: ailee-backup --accept-loss\n"
	for _, c := range []struct {
		backups int
		loss    backups.Loss
		want    string
	}{
		{2, backups.Loss{CouldNot: "input/output error"}, "ailee-backup: error: l2_snapshots.dat could not be compared with a.bak: input/output error\n" +
			"ailee-backup: hint: the 2 backups of its line are held until this is settled\n"},
		{1, backups.Loss{CouldNot: "input/output error"}, "ailee-backup: error: l2_snapshots.dat could not be compared with a.bak: input/output error\n" +
			"ailee-backup: hint: 1 backup is held until this is settled\n"},
		{2, backups.Loss{Missing: backups.Missing{Snapshots: 1, Where: "end", First: "A", Last: "A"}}, "ailee-backup: error: l2_snapshots.dat lacks 1 snapshot at the end\n" +
			"ailee-backup: hint: from A to A\n" +
			"ailee-backup: hint: it is in a.bak and before\nailee-backup: hint: the 2 that have it are held until this is settled\n"},
		{1, backups.Loss{Missing: backups.Missing{Snapshots: 2, Where: "end", First: "A", Last: "B"}}, "ailee-backup: error: l2_snapshots.dat lacks 2 snapshots at the end\n" +
			"ailee-backup: hint: from A to B\n" +
			"ailee-backup: hint: they are in a.bak\nailee-backup: hint: 1 backup is held until this is settled\n"},
	} {
		catalogue := &backups.Catalogue{}
		for _, name := range []string{"b.bak", "a.bak"}[2-c.backups:] {
			catalogue.Backups = append(catalogue.Backups, backups.Backup{Name: name, Kind: backups.Snapshots, Line: 3})
		}
		c.loss.Kind, c.loss.Line = backups.Snapshots, 3
		r := &run{dir: &backups.Dir{Catalogue: catalogue}}
		_, text := said(t, r, func() { r.sayLoss(&part{kind: backups.Snapshots}, &c.loss) })
		require.Equal(t, c.want+settle, text)
	}
}
