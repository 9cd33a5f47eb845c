package test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin/bitcointest"
)

// sandbox is a separate machine for the scripts of guide/: it has its own /var/lib/ailee, /tmp,
// users, processes and loopback interface, where a Bitcoin node listens. If the kernel or the
// container does not allow that, the paths in the scripts are rewritten.
type sandbox struct {
	dir      string // lib/ is /var/lib, tmp/ is /tmp; work/ is the operator's folder, with the tools
	hasUsers bool   // ailee is a user other than the operator
}

// sandboxed is the name of the first process of a sandbox.
const sandboxed = "sandboxed"

const (
	guideCookie = "__cookie__:of-this-run"
	aileeUID    = 64100 // and group, if there can be a second user
)

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	s := &sandbox{dir: t.TempDir()}
	for _, name := range []string{"lib/ailee", "tmp", "etc", "home/.bitcoin", "work", "tools", "scripts", "guide"} {
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, name), 0o755))
	}
	require.NoError(t, os.Chmod(filepath.Join(s.dir, "tmp"), 0o777|os.ModeSticky))
	for name, text := range map[string]string{
		"home/.bitcoin/.cookie": guideCookie,
		"etc/passwd":            fmt.Sprintf("root:x:0:0::/root:/bin/sh\nailee:x:%d:%[1]d::/var/lib/ailee:/usr/sbin/nologin\n", aileeID()),
		"etc/group":             fmt.Sprintf("root:x:0:\nailee:x:%d:\n", aileeID()),
		"node.lock":             "",
		"journal":               "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
	}
	s.writeRunbook(t)
	return s
}

// writeRunbook makes a script from the first commands under each heading of the runbook.
func (s *sandbox) writeRunbook(t *testing.T) {
	t.Helper()
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "runbook"), 0o755))
	for script, commands := range runbookScripts(t) {
		require.NoError(t, os.WriteFile(scriptFile(s.dir, script), []byte(commands), 0o644))
	}
}

// runbookScripts returns the first commands under each heading of the runbook, by the name of the
// script.
func runbookScripts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/runbook.md")
	require.NoError(t, err)
	scripts := map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		heading, _, _ := strings.Cut(section, "\n")
		block := bashBlock.FindStringSubmatch(section)
		require.NotNil(t, block, "no commands under %q", heading)
		scripts["runbook/"+headingAnchor(heading)] = block[1]
	}
	return scripts
}

// aileeID returns the id of the user ailee in the sandbox. Only root can have other users there.
func aileeID() int {
	if os.Geteuid() == 0 {
		return aileeUID
	}
	return 0
}

func (s *sandbox) dataDir() string { return filepath.Join(s.dir, "lib", "ailee") }

// namespaces returns the first process of a sandbox.
func namespaces(dir string, scripts ...string) *exec.Cmd {
	tools, _ := exec.LookPath(sandboxed)
	here, _ := os.Getwd()
	cmd := exec.Command(sandboxed, append([]string{dir, filepath.Dir(tools), filepath.Dir(here)}, scripts...)...)
	cmd.SysProcAttr = inOwnNamespaces(unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID)
	return cmd
}

// inOwnNamespaces gives a process its own namespaces. A user who is not root is root there, with
// rights only over itself.
func inOwnNamespaces(flags uintptr) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// inNamespaces runs scripts of guide/ one after another and returns what the operator sees.
func (s *sandbox) inNamespaces(t *testing.T, env, scripts []string) string {
	t.Helper()
	s.hasUsers = os.Geteuid() == 0
	cmd := namespaces(s.dir, scripts...)
	cmd.Env = append([]string{"PATH=/mnt/guide/bin:/mnt/work:/mnt/tools:" + os.Getenv("PATH"), "PLACE=/mnt", "HOME=/mnt/home"}, env...)
	// All of its processes end with the first one.
	seen, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", seen)
	return string(seen)
}

// sandboxMain is the first process of a sandbox: sandboxed DIR TOOLS REPOSITORY SCRIPT...
func sandboxMain() {
	if err := inSandbox(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func inSandbox(dir, tools, repository string, scripts []string) error {
	if err := mountSandbox(dir, tools, repository); err != nil {
		return err
	}
	if err := linkTools("/mnt"); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if len(scripts) == 0 {
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:8332")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(l, newGuideChain()) }()
	for _, script := range scripts {
		cmd := operator("/mnt", scriptFile("/mnt", script))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		// Orphaned processes are children of this process, too.
		for pid := 0; pid != cmd.Process.Pid; {
			if pid, err = unix.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
				return err
			}
		}
	}
	return nil
}

func mountSandbox(dir, tools, repository string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, m := range [][2]string{
		{dir, "/mnt"}, {tools, "/mnt/tools"}, {repository + "/scripts", "/mnt/scripts"}, {repository + "/test/guide", "/mnt/guide"},
		{"/mnt/etc/passwd", "/etc/passwd"}, {"/mnt/etc/group", "/etc/group"}, {"/mnt/lib", "/var/lib"}, {"/mnt/tmp", "/tmp"},
	} {
		if err := unix.Mount(m[0], m[1], "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("%s on %s: %w", m[0], m[1], err)
		}
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// linkTools puts the tools and test_recovery.sh in the operator's folder.
func linkTools(place string) error {
	for _, pattern := range []string{"tools/ailee_*", "tools/ailee-*", "scripts/*"} {
		found, err := filepath.Glob(filepath.Join(place, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			err := os.Symlink(path, filepath.Join(place, "work", filepath.Base(path)))
			if err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// scriptFile returns the path of a script of guide/ or the runbook.
func scriptFile(place, script string) string {
	if heading, ok := strings.CutPrefix(script, "runbook/"); ok {
		return filepath.Join(place, "runbook", heading+".sh")
	}
	return filepath.Join(place, "guide", script+".sh")
}

// operator returns the command that runs a script in the operator's folder.
func operator(place, script string) *exec.Cmd {
	cmd := exec.Command("bash", script)
	cmd.Dir = filepath.Join(place, "work")
	cmd.Env = append(os.Environ(), "BASH_ENV="+filepath.Join(place, "guide", "operator.bash"))
	return cmd
}

// rewritten is [sandbox.inNamespaces] without namespaces: it runs copies of the scripts with other
// paths.
func (s *sandbox) rewritten(t *testing.T, env, scripts []string) string {
	t.Helper()
	chain := newGuideChain().Serve(t)
	there := strings.NewReplacer("/var/lib/ailee", s.dataDir(), "/tmp/", filepath.Join(s.dir, "tmp")+"/", "http://localhost:8332", chain,
		"ailee:ailee", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()))
	back := strings.NewReplacer(s.dataDir(), "/var/lib/ailee", filepath.Join(s.dir, "tmp")+"/", "/tmp/", chain, "http://localhost:8332")
	tools, err := exec.LookPath(sandboxed)
	require.NoError(t, err)
	here, err := os.Getwd()
	require.NoError(t, err)
	for name, path := range map[string]string{"tools": filepath.Dir(tools), "scripts": filepath.Join(here, "..", "scripts")} {
		require.NoError(t, os.Remove(filepath.Join(s.dir, name)))
		require.NoError(t, os.Symlink(path, filepath.Join(s.dir, name)))
	}
	require.NoError(t, linkTools(s.dir))
	require.NoError(t, os.CopyFS(filepath.Join(s.dir, "guide"), os.DirFS("guide")))
	env = append([]string{"PATH=" + filepath.Join(s.dir, "guide", "bin") + ":" + filepath.Join(s.dir, "work") + ":" + os.Getenv("PATH"), "PLACE=" + s.dir,
		"HOME=" + filepath.Join(s.dir, "home"), "AILEE_DATA_DIR=" + s.dataDir(), "BITCOIN_RPC_URL=" + chain}, env...)
	var seen strings.Builder
	for _, script := range scripts {
		text, err := os.ReadFile(scriptFile(s.dir, script))
		require.NoError(t, err)
		played := filepath.Join(s.dir, "played.sh")
		require.NoError(t, os.WriteFile(played, []byte(there.Replace(string(text))), 0o644))
		cmd := operator(s.dir, played)
		cmd.Env = append(cmd.Env, env...)
		out, _ := cmd.CombinedOutput()
		seen.Write(out)
	}
	s.killNode(t)
	return back.Replace(seen.String())
}

// killNode ends the node that systemctl has left running, as the end of its namespace would.
func (s *sandbox) killNode(t *testing.T) {
	lock := filepath.Join(s.dir, "node.lock")
	if exec.Command("flock", "-n", lock, "true").Run() == nil {
		return
	}
	pid, err := os.ReadFile(filepath.Join(s.dir, "node.pid"))
	require.NoError(t, err)
	number, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(number, syscall.SIGKILL))
	require.NoError(t, exec.Command("flock", lock, "true").Run())
}

// guideTip is the height of the chain in a sandbox.
const guideTip = 840123

func newGuideChain() *bitcointest.Chain {
	chain := bitcointest.NewChain(guideTip)
	chain.Login = guideCookie
	return chain
}
