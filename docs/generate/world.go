package main

import (
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/golden"
)

// world is the machine that the examples of one command run on: a folder that stands for the
// root of its file system, a Bitcoin node, and a clock that advances by an hour with each
// example.
type world struct {
	root  string
	env   []string
	now   time.Time
	chain *bitcointest.Chain
	node  *httptest.Server
}

// nodeURL is the URL of the Bitcoin node in the examples.
const nodeURL = "http://localhost:8332"

// noon is when the examples start. Their data is a few hours older.
var noon = time.Date(2025, 2, 15, 12, 0, 0, 0, time.UTC)

func newWorld() (*world, error) {
	root, err := os.MkdirTemp("", "ailee-examples-")
	if err != nil {
		return nil, err
	}
	w := &world{root: root, now: noon, chain: bitcointest.NewChain(tip)}
	w.chain.Methods = walletMethods()
	w.node = httptest.NewServer(w.chain)
	bin := w.path("/usr/bin")
	w.env = []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + w.path("/root"), "TMPDIR=" + w.path("/tmp"), "LC_ALL=C", "TZ=UTC"}
	for _, folder := range []string{"/usr/bin", "/root", "/tmp", "/mnt/backups", "/var/lib/ailee", "/var/lib/prometheus/node-exporter"} {
		if err := os.MkdirAll(w.path(folder), 0o755); err != nil {
			return w, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	for _, t := range tools {
		if err := os.Symlink(self, filepath.Join(bin, t.Name)); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) close() {
	w.node.Close()
	os.RemoveAll(w.root)
}

// path returns the real path of a path in the examples.
func (w *world) path(path string) string { return filepath.Join(w.root, path) }

var (
	// absolute matches the paths in a command line.
	absolute = regexp.MustCompile(`(^|[ =])(/(?:mnt|tmp|var)/)`)
	// operators matches what only an operator can do: fill in a name, say yes, or install.
	operators = regexp.MustCompile(`\bTXID\b|\bANCHOR_HASH\b|--broadcast --wallet|--install-links`)
	// measured matches what differs from run to run.
	measured  = regexp.MustCompile(`in [0-9.]+[mµn]?s \([0-9]+ per second\)`)
	freeSpace = regexp.MustCompile(`[0-9.]+ [KMGT]iB free`)
)

// show runs an example an hour after the one before and returns what it prints, nil if it cannot
// be run.
func (w *world) show(command string) (*string, error) {
	if operators.MatchString(command) {
		return nil, nil
	}
	w.now = w.now.Add(time.Hour)
	out, err := w.run(command)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Exited() {
		out += fmt.Sprintf("(exit status %d)\n", ended.ExitCode())
	} else if err != nil {
		return nil, err
	}
	return &out, nil
}

// run runs a command line and returns what it prints on both streams.
func (w *world) run(command string) (string, error) {
	line := strings.ReplaceAll(absolute.ReplaceAllString(command, "${1}"+w.root+"${2}"), nodeURL, w.node.URL)
	cmd := exec.Command("bash", "-c", "set -o pipefail; "+line)
	cmd.Dir = w.path("/root")
	cmd.Env = w.env
	// A drill makes its data with the real clock: another clock would be wrong.
	if !strings.HasPrefix(command, "ailee-drill ") {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", clockVariable, w.now.Unix()))
	}
	if !strings.HasSuffix(command, " --help") {
		cmd.Env = append(cmd.Env, "AILEE_DATA_DIR="+w.path("/var/lib/ailee"))
	}
	text, err := cmd.CombinedOutput()
	out := strings.NewReplacer(w.node.URL, nodeURL, w.root, "").Replace(string(text))
	out = measured.ReplaceAllString(out, "in ... s (... per second)")
	out = freeSpace.ReplaceAllString(out, "75.6 GiB free")
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return out, err
}

// runs runs the command lines that prepare the examples, one after another.
func (w *world) runs(commands ...string) error {
	for _, command := range commands {
		if _, err := w.run(command); err != nil {
			return err
		}
	}
	return nil
}

// sample is data that a node wrote: the first bytes of a golden file, or with -1 all of it.
type sample struct {
	name  string
	bytes int64
}

// The snapshot files of a node.
var (
	healthy  = []sample{{"write/node-written-clean.dat", -1}}
	torn     = append(healthy[:1:1], sample{"write/node-written.dat", 400})
	tampered = append(healthy[:1:1], sample{"verify/value_tampered.dat", -1})
)

// write makes a file from the samples.
func (w *world) write(path string, samples []sample) error {
	f, err := os.Create(w.path(path))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, s := range samples {
		data, err := os.ReadFile(filepath.Join(golden.Dir(), s.name))
		if err != nil {
			return err
		}
		if s.bytes >= 0 {
			data = data[:s.bytes]
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
	}
	return f.Close()
}

// overwrite damages a file by changing a byte in the middle.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, size/2); err != nil {
		return err
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, size/2); err != nil {
		return err
	}
	return f.Close()
}
