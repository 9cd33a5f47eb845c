package datadir_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/clitest/reorgtest"
	"ailee-recovery/internal/datadir"
)

// programs are the programs that the tests run as processes.
var programs = clitest.Programs{
	reorgtest.NodeName: reorgtest.Programs[reorgtest.NodeName],
	"beside":           lookBeside,
	"leaderless":       leaderless,
}

// TestBesideEndingProcesses: a process that has ended but was not waited for shows nothing to an
// ordinary user, and has nothing open. One whose first thread has ended may still have files open.
func TestBesideEndingProcesses(t *testing.T) {
	dir, asRoot := t.TempDir(), os.Geteuid() == 0
	if asRoot {
		dir = clitest.ForNobody(t)
		require.NoError(t, os.Chown(dir, clitest.Nobody, clitest.Nobody))
	}
	file := filepath.Join(dir, "l2_snapshots.dat")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	var said string
	if asRoot {
		require.NoError(t, os.Chown(file, clitest.Nobody, clitest.Nobody))
		var code int
		var stderr string
		code, said, stderr = clitest.AsNobody(t, 0o022, "beside", dir)
		require.Zero(t, code, said+stderr)
	} else {
		out, err := exec.Command("beside", dir).Output()
		require.NoError(t, err, string(out))
		said = string(out)
	}
	var holders datadir.Holders
	require.NoError(t, json.Unmarshal([]byte(said), &holders))
	require.Empty(t, holders.Hidden)
	require.Len(t, holders.Processes, 1)
	require.Equal(t, file, holders.Processes[0].Path)
	require.True(t, holders.Processes[0].Writes)
}

// TestBesideAForkedChild: a child that has not executed its program yet has open what this
// process has, and does not count as another process.
func TestBesideAForkedChild(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "l2_snapshots.dat"))
	require.NoError(t, err)
	defer f.Close()
	execute := clitest.Fork(t)
	v, err := datadir.Look(t.Context(), datadir.Options{DataDir: dir, Codes: []datadir.Code{datadir.DataHolders}})
	require.NoError(t, err)
	require.Empty(t, v.Holders.Processes)
	execute()
}

// lookBeside checks which processes have the data open while one process is a zombie, and so is
// the first thread of another.
func lookBeside() {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command("true"),
		{Path: "/proc/self/exe", Args: []string{"leaderless", filepath.Join(os.Args[1], "l2_snapshots.dat")}},
	} {
		check(cmd.Start())
		defer cmd.Process.Kill()
		for !clitest.Exited(cmd.Process.Pid) {
			time.Sleep(time.Millisecond)
		}
	}
	v, err := datadir.Look(context.Background(), datadir.Options{DataDir: os.Args[1], Codes: []datadir.Code{datadir.DataHolders}})
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(v.Holders))
}

// leaderless keeps a file open for writing after its first thread has ended.
func leaderless() {
	f, err := os.OpenFile(os.Args[1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for range 1000 {
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == os.Getpid() {
				unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
			}
			time.Sleep(time.Hour)
		}()
	}
	time.Sleep(time.Hour)
	runtime.KeepAlive(f)
}
