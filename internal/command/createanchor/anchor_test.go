package createanchor_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/exit"
	"ailee-recovery/snapshot"
)

// TestAnchorsBesideAnAppender anchors over and over while another process appends in many
// small writes, as a node does. No snapshot ends up inside another, and none is lost.
func TestAnchorsBesideAnAppender(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	path := clitest.History(t, 1)
	state := clitest.StateFile(t, 1_000_000, 50)
	for i := range rounds {
		appending := exec.Command("appender", path, fmt.Sprint(2+i*20), "20")
		before := clitest.FileSize(t, path)
		require.NoError(t, appending.Start())
		clitest.WaitFor(t, appending, func() bool { return clitest.FileSize(t, path) > before })
		var out, errs bytes.Buffer
		code := cli.Execute(context.Background(), createanchor.Tool(),
			[]string{createanchor.Name, "--l2-state-file", state, "--data-dir", filepath.Dir(path)}, cli.Streams{Out: &out, Err: &errs})
		require.Zero(t, code, errs.String())
		require.Empty(t, errs.String())
		require.NoError(t, appending.Wait())
	}
	anchored, next := 0, uint64(1)
	for _, ms := range clitest.Times(t, path) {
		if ms == 1_000_000 {
			anchored++
			continue
		}
		require.Equal(t, next, ms)
		next++
	}
	require.Equal(t, rounds, anchored)
	require.EqualValues(t, 2+rounds*20, next)
}

// TestAnchorWaitsForAWriter: a snapshot that is being written when the run starts stays in
// one piece.
func TestAnchorWaitsForAWriter(t *testing.T) {
	path := clitest.History(t, 1)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	second := clitest.Numbered(2)
	_, err = f.WriteString(second[:100])
	require.NoError(t, err)
	anchoring := exec.Command(createanchor.Name, "--l2-state-file", clitest.StateFile(t, 3, 1), "--data-dir", filepath.Dir(path))
	require.NoError(t, anchoring.Start())
	// Once it has the file open, it is about to append.
	clitest.WaitFor(t, anchoring, func() bool { return clitest.Opened(anchoring.Process.Pid, path) })
	_, err = f.WriteString(second[100:])
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, anchoring.Wait())
	require.Equal(t, []uint64{1, 2, 3}, clitest.Times(t, path))
}

// TestAnchorOfAReplacedFile: if the file is replaced while the run waits, nothing is appended
// to it, nor to the file that has its name now.
func TestAnchorOfAReplacedFile(t *testing.T) {
	path := clitest.History(t, 1)
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer writer.Close()
	require.NoError(t, os.Link(path, path+".old"))
	var errs bytes.Buffer
	anchoring := exec.Command(createanchor.Name, "--l2-state-file", clitest.StateFile(t, 3, 1), "--data-dir", filepath.Dir(path))
	anchoring.Stderr = &errs
	require.NoError(t, anchoring.Start())
	clitest.WaitFor(t, anchoring, func() bool { return clitest.Opened(anchoring.Process.Pid, path) })
	require.NoError(t, os.WriteFile(path+".new", []byte(clitest.Numbered(2)), 0o644))
	require.NoError(t, os.Rename(path+".new", path))
	require.NoError(t, writer.Close())
	_ = anchoring.Wait()
	require.Equal(t, exit.Failed, anchoring.ProcessState.ExitCode(), errs.String())
	require.Contains(t, errs.String(), "a newer snapshot may have been appended in the meantime\n")
	require.Contains(t, errs.String(), "hint: run the command again\n")
	require.Equal(t, clitest.Numbered(2), clitest.Read(t, path))
	require.Equal(t, clitest.Numbered(1), clitest.Read(t, path+".old"))
}

// TestAnchorKilled kills the run at random moments, and runs it again each time. A torn line
// that it left is terminated, and every complete snapshot is sound.
func TestAnchorKilled(t *testing.T) {
	clitest.SkipUnderRace(t)
	kills := 20
	if testing.Short() {
		kills = 6
	}
	rng := rand.New(rand.NewSource(1))
	state := clitest.StateFile(t, 2, 200_000)
	for range kills {
		path := clitest.History(t, 1)
		args := []string{"--quiet", "--l2-state-file", state, "--data-dir", filepath.Dir(path), "--timestamp-ms", "5"}
		anchoring := exec.Command(createanchor.Name, args...)
		require.NoError(t, anchoring.Start())
		// This is the moment of the crash, not a way to wait for something.
		time.Sleep(time.Duration(rng.Intn(150_000)) * time.Microsecond)
		require.NoError(t, anchoring.Process.Kill())
		_ = anchoring.Wait()
		require.NoError(t, exec.Command(createanchor.Name, args...).Run())
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(data, []byte(clitest.Numbered(1))))
		var found []uint64
		for l, err := range snapshot.Forward(bytes.NewReader(data), int64(len(data))) {
			require.NoError(t, err)
			report, err := snapshot.NewChecker(nil).Check(context.Background(), bytes.NewReader(data), l)
			require.NoError(t, err)
			require.Equal(t, snapshot.Valid, report.Verdict())
			found = append(found, report.TimestampMs)
		}
		require.Contains(t, [][]uint64{{1, 2}, {1, 2, 2}}, found)
		entries, err := os.ReadDir(filepath.Dir(path))
		require.NoError(t, err)
		require.Len(t, entries, 1)
	}
}
