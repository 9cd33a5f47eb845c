package clitest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/lease"
)

// Fork forks a child that does not execute its program before execute is called: until then it
// has open what this process has. Meanwhile nothing else in this process may fork, and no
// garbage is collected, since the thread that forked is suspended.
func Fork(t *testing.T) (execute func()) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	leased, err := os.Open(program)
	require.NoError(t, err)
	collect := debug.SetGCPercent(-1)
	// The child waits for the lease in its call of execve.
	held, err := lease.Alone(leased).Try()
	require.NoError(t, err)
	require.True(t, held)
	ran := make(chan error, 1)
	go func() { ran <- exec.Command(program).Run() }()
	for len(children(t)) == 0 {
		runtime.Gosched()
	}
	return func() {
		require.NotEmpty(t, children(t), "the child was still there")
		require.NoError(t, lease.Release(leased))
		require.NoError(t, <-ran)
		require.NoError(t, leased.Close())
		debug.SetGCPercent(collect)
	}
}

// children are the processes that this one has forked.
func children(t *testing.T) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	for _, name := range files {
		content, _ := os.ReadFile(name) // a thread may have ended
		pids = append(pids, strings.Fields(string(content))...)
	}
	return pids
}
