// Package faults breaks the tools on purpose, at each system call that changes something: it kills
// them there, makes the call fail, and cuts the power.
package faults

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

var all = flag.Bool("all", false, "try every point instead of a sample")

// underRace says that the race detector is on.
var underRace bool

var binaries string // the folder of the tools

func TestMain(m *testing.M) {
	if name := os.Getenv(writerEnv); name != "" {
		os.Exit(write(name))
	}
	flag.Parse()
	if underRace {
		fmt.Println("the race detector does not see the processes that are broken here")
		os.Exit(0)
	}
	code, err := inOwnMounts(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const isolated = "AILEE_FAULTS_ISOLATED"

// inOwnMounts runs the tests in a process with its own mounts, which end with it however it ends.
// Without the right to mount, nothing is mounted.
func inOwnMounts(m *testing.M) (int, error) {
	if os.Geteuid() != 0 || os.Getenv(isolated) != "" {
		return withBinaries(m)
	}
	rerun := exec.Command("/proc/self/exe", os.Args[1:]...)
	rerun.Stdin, rerun.Stdout, rerun.Stderr = os.Stdin, os.Stdout, os.Stderr
	rerun.Env = append(os.Environ(), isolated+"=1")
	rerun.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := rerun.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode(), nil
	}
	return 0, err
}

func withBinaries(m *testing.M) (int, error) {
	// The kernel reports paths without symbolic links.
	dir, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		return 1, err
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return 1, err
	}
	if dir, err = os.MkdirTemp("", "ailee-faults-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binaries = filepath.Join(dir, "bin")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binaries+"/", "ailee-recovery/cmd/...")
	if said, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w: %s", err, said)
	}
	code := m.Run()
	printTables(os.Stdout)
	return code, nil
}
