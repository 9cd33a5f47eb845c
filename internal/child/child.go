// Package child starts processes that do not outlive this one, however it ends.
package child

import (
	"os/exec"
	"runtime"
	"syscall"

	"ailee-recovery/internal/workers"
)

// Process is a process that was started. Its methods are safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of waiting; valid once ended is closed
}

// Start starts cmd, which nobody else may wait for. The process is killed when this one
// ends before it, also by a signal that cannot be caught. The error is that of
// [exec.Cmd.Start].
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan struct{})
	failed := workers.Start(func() error {
		// The signal comes when the thread ends that has started the process, and not
		// only when all of them do: this one stays for as long as the process.
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

// Kill ends the process at once, if it has not ended, and waits for that.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Interrupted reports whether a process that was waited for was ended by one of the signals
// that a terminal, or whoever stops a service, sends to all processes of a command.
func Interrupted(cmd *exec.Cmd) bool {
	if cmd.ProcessState == nil {
		return false
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGINT || status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGHUP)
}
