package packaging

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// boot starts the root as a machine, with systemd as its first process and without a network.
func (r root) boot() machine {
	r.t.Helper()
	var said bytes.Buffer
	c := exec.Command("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
		"--directory="+r.dir, "--boot")
	c.Stdout, c.Stderr = &said, &said
	require.NoError(r.t, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	r.t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
	})
	for {
		// Its only child is the first process of the machine.
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.Process.Pid))
		leader := strings.TrimSpace(string(children))
		if name, _ := os.ReadFile(filepath.Join("/proc", leader, "comm")); leader != "" && string(name) == "systemd\n" {
			m := machine{r.t, leader}
			// It takes a moment to answer, and is degraded since it lacks parts of a full Debian.
			m.sh("until [[ $(systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]; do sleep 0.05; done")
			return m
		}
		select {
		case err := <-ended:
			ended <- err
			r.t.Skipf("systemd-nspawn cannot boot a machine here: %v: %s", err, said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A machine is a running root.
type machine struct {
	t      *testing.T
	leader string // the pid of its first process
}

// try runs a script in the machine and returns what it prints, standard error included.
func (m machine) try(script string) (string, error) {
	c := exec.Command("nsenter", "--target", m.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wdns=/", "bash", "-euc", script)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	out, err := c.CombinedOutput()
	return string(out), err
}

// sh is try for a script that must not fail.
func (m machine) sh(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	require.NoError(m.t, err, "%s\n%s\n%s", script, out, m.journal())
	return out
}

func (m machine) journal() string {
	out, _ := m.try("journalctl --no-pager -o short-monotonic | tail -n 60")
	return out
}

// now returns the current cursor of the journal.
func (m machine) now() string {
	m.t.Helper()
	out := m.sh("echo mark | systemd-cat; journalctl --sync; journalctl -q -n 0 --show-cursor")
	_, cursor, found := strings.Cut(strings.TrimSpace(out), "cursor: ")
	require.True(m.t, found, out)
	return cursor
}

// TestUnderSystemd runs the units under a real systemd: timers fire, failures show up, and the
// units are denied nothing that they need.
func TestUnderSystemd(t *testing.T) {
	r := newRoot(t, "systemd", "systemd-sysv")
	run(t, "cp", release(t, "DIST", "*.deb"), r.path("new.deb"))
	r.sh(`echo 'ailee:x:900:900::/var/lib/ailee:/usr/sbin/nologin' >>/etc/passwd; echo 'ailee:x:900:' >>/etc/group; mkdir /var/lib/ailee
		echo ailee-test >/etc/hostname; mkdir -p /var/log/journal`)
	run(t, "cp", "../testdata/golden/write/node-written-clean.dat", r.path("var/lib/ailee/l2_snapshots.dat"))
	r.sh(`dpkg --install /new.deb
		ailee_init_node --data-dir /var/lib/ailee --if-missing
		chown -R ailee:ailee /var/lib/ailee
		echo MONITOR_OPTIONS='"--max-snapshot-age 1000000 --prometheus /var/lib/ailee-recovery/ailee.prom"' >>/etc/default/ailee-recovery`)
	// A stand-in for the node, which has the snapshot file open as a node does.
	require.NoError(t, os.WriteFile(r.path("etc/systemd/system/ailee-node.service"), []byte(`[Service]
User=ailee
ExecStart=/bin/sleep infinity
StandardOutput=append:/var/lib/ailee/l2_snapshots.dat
[Install]
WantedBy=multi-user.target
`), 0o644))
	// The same restrictions, to check that they are in force here.
	r.sh(`sed 's/^ExecStart=.*/ExecStart=-sh -c "cat \/proc\/self\/status \/proc\/self\/uid_map; touch \/usr\/x; touch \/var\/lib\/ailee\/x"/' /usr/lib/systemd/system/ailee-backup.service >/etc/systemd/system/restricted.service`)
	m := r.boot()
	restricted := m.sh("systemctl start restricted; journalctl --sync; journalctl -q -u restricted -o cat")
	assert.Regexp(t, `NoNewPrivs:\s+1\n(.*\n)*Seccomp:\s+2\n`, restricted)
	assert.Contains(t, restricted, "touch: cannot touch '/usr/x': Read-only file system")
	assert.NotContains(t, restricted, "/var/lib/ailee/x")
	m.sh("systemctl enable --now ailee-node.service ailee-backup.timer ailee-monitor.timer")
	timers := m.sh("systemctl list-timers --no-pager --no-legend 'ailee-*'")
	assert.Regexp(t, `(?m)left .*ailee-backup\.timer`, timers)
	assert.Regexp(t, `(?m)left .*ailee-monitor\.timer`, timers)

	// soon makes a timer fire within a second, by its calendar, and returns how its unit ended.
	soon := func(name string) (status, said string) {
		// An earlier run must have ended, or its end would be taken for that of the next one.
		m.sh("systemctl stop " + name + ".timer " + name + ".service")
		m.sh("mkdir -p /run/systemd/system/" + name + ".timer.d; printf '[Timer]\\nOnCalendar=\\nOnCalendar=*:*:*\\nRandomizedDelaySec=0\\nAccuracySec=1ms\\n' >$_/soon.conf; systemctl daemon-reload")
		cursor := m.now()
		m.sh("systemctl start " + name + ".timer")
		m.sh("until journalctl -q --after-cursor='" + cursor + "' -u " + name + ".service -o cat | grep -qE '^(Finished|Failed to start) '; do sleep 0.05; done; systemctl stop " + name + ".timer")
		// It may have fired once more.
		m.sh("while [ \"$(systemctl is-active " + name + ".service)\" = activating ]; do sleep 0.05; done")
		status = strings.TrimSpace(m.sh("systemctl show --value -p ExecMainStatus " + name + ".service"))
		return status, m.sh("journalctl -q --after-cursor='" + cursor + "' -u " + name + ".service -o verbose --output-fields=PRIORITY,MESSAGE")
	}
	status, said := soon("ailee-backup")
	assert.Equal(t, "0", status, said)
	assert.Regexp(t, `l2_snapshots_\d+_\d+\.dat\.bak\n(.*\n)*reorg_db_\d+_\d+\.tar\.gz`, m.sh("ls /var/lib/ailee/backups"))
	assert.Equal(t, "ailee ailee\n", m.sh("stat -c '%U %G' /var/lib/ailee/backups/reorg_db_* | uniq"))

	status, said = soon("ailee-monitor")
	assert.Equal(t, "0", status, said)
	assert.NotContains(t, said, "warning:")
	assert.NotContains(t, said, "error:")
	metrics := m.sh("cat /var/lib/ailee-recovery/ailee.prom")
	assert.Contains(t, metrics, "ailee_problems 0\n")
	assert.NotRegexp(t, `ailee_fact_state\{fact="[a-z-]+"\} [12]`, metrics, "nothing is hidden from it")
	assert.Contains(t, m.sh("ailee-doctor --data-dir /var/lib/ailee"), "running: ailee-node.service")

	// A balance is changed.
	m.sh("sed -i 's/ 18446744073709551615$/ 18446744073709551614/' /var/lib/ailee/l2_snapshots.dat; systemctl restart ailee-node")
	status, said = soon("ailee-monitor")
	assert.Equal(t, "2", status, said)
	assert.Regexp(t, `PRIORITY=3\n +MESSAGE=ailee-monitor: warning: `, said)
	status, said = soon("ailee-backup")
	assert.Equal(t, "2", status, said)
	failed := m.sh("systemctl list-units --failed --no-legend --plain")
	assert.Contains(t, failed, "ailee-monitor.service")
	assert.Contains(t, failed, "ailee-backup.service")
	assert.Contains(t, m.sh("journalctl -q -p 4 -u ailee-monitor -o cat"), "warning: ")

	// Denials would show up in the kernel's journal, and as errors.
	assert.NotContains(t, m.sh("journalctl -q --no-pager"), "Operation not permitted")
}
