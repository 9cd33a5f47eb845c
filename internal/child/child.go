// Package child starts processes that do not outlive this process, however it ends.
package child

import (
	"os/exec"
	"runtime"
	"syscall"

	"ailee-recovery/internal/workers"
)

// Process is a started process. Its methods are safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of waiting; valid once ended is closed
}

// Start starts cmd. The caller must not call cmd.Wait. If this process ends first, even by
// a signal that cannot be caught, the started process is killed. The error is that of
// [exec.Cmd.Start].
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan struct{})
	failed := workers.Start(func() error {
		// The signal is sent when the thread that started the process ends, even if other
		// threads go on. So this thread must stay for as long as the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			return err
		}
		defer close(p.ended)
		close(started)
		p.err = cmd.Wait()
		return nil
	})
	select {
	case <-started:
	case err := <-failed:
		if err != nil { // else it has started, and ended
			return nil, err
		}
	}
	return p, nil
}

// Run starts cmd and waits for its end. The error is that of [exec.Cmd.Run].
func Run(cmd *exec.Cmd) error {
	p, err := Start(cmd)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Ended is closed once the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits for the end. The error is that of [exec.Cmd.Wait].
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Kill kills the process, if it has not ended, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Interrupted reports whether a process was ended by one of the signals that a terminal, or
// a service manager, sends to all processes of a command.
func Interrupted(cmd *exec.Cmd) bool {
	if cmd.ProcessState == nil {
		return false
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGINT || status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGHUP)
}
