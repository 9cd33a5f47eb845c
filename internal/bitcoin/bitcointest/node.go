// Package bitcointest runs Bitcoin nodes for tests: real ones (btcd), and one in
// memory that is fast and can misbehave.
package bitcointest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/rpcclient"
	"github.com/stretchr/testify/require"
)

// The login of every [Node].
const (
	User     = "operator"
	Password = "p4ss-w0rd-in-tests"
)

// Node is a btcd on the regression test network, without peers.
type Node struct {
	URL      string // without credentials
	CertFile string // what to trust, "" without TLS

	tb   testing.TB
	dir  string
	host string // of the RPC server, with its port

	options []string
	rpc     *rpcclient.Client
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
}

// binary builds btcd in the version of go.mod, into Go's own build cache.
var binary = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "github.com/btcsuite/btcd").Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		err = fmt.Errorf("building btcd: %w: %s", err, ended.Stderr)
	}
	return strings.TrimSpace(string(out)), err
})

// StartNode starts a node with nothing but the genesis block, with further options
// of btcd. It ends with the test.
func StartNode(tb testing.TB, useTLS bool, options ...string) *Node {
	n := &Node{tb: tb, dir: tb.TempDir(), options: options}
	if useTLS {
		n.CertFile = filepath.Join(n.dir, "rpc.cert")
	}
	tb.Cleanup(n.Stop)
	// A port that was free may be taken by the time btcd needs it.
	for range 3 {
		n.host = freeAddress(tb)
		if n.start() {
			return n
		}
	}
	n.fail()
	return nil
}

// LoginURL returns the URL of a node without TLS, with the login in it.
func (n *Node) LoginURL() string { return withLogin(n.URL) }

func withLogin(url string) string {
	return strings.Replace(url, "http://", "http://"+User+":"+Password+"@", 1)
}

func freeAddress(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer l.Close()
	return l.Addr().String()
}

// Start starts a stopped node again, with its blocks and on its port.
func (n *Node) Start() {
	n.tb.Helper()
	if !n.start() {
		n.fail()
	}
}

func (n *Node) fail() {
	log, _ := os.ReadFile(filepath.Join(n.dir, "output"))
	n.tb.Fatalf("btcd does not start:\n%s", log)
}

// start reports whether the node answers.
func (n *Node) start() bool {
	path, err := binary()
	require.NoError(n.tb, err)
	output, err := os.OpenFile(filepath.Join(n.dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(n.tb, err)
	defer output.Close()
	config := rpcclient.ConnConfig{Host: n.host, User: User, Pass: Password, HTTPPostMode: true, DisableTLS: n.CertFile == ""}
	scheme, security := "http", []string{"--notls"}
	if n.CertFile != "" {
		scheme, security = "https", []string{"--rpccert=" + n.CertFile, "--rpckey=" + filepath.Join(n.dir, "rpc.key")}
	}
	n.URL = scheme + "://" + n.host
	n.cmd = exec.Command(path, slices.Concat(security, n.options, []string{"--regtest", "--nolisten", "--nodnsseed",
		"--configfile=" + os.DevNull, "--datadir=" + filepath.Join(n.dir, "data"), "--logdir=" + filepath.Join(n.dir, "logs"),
		"--rpclisten=" + n.host, "--rpcuser=" + User, "--rpcpass=" + Password, "--miningaddr=" + miningAddress().EncodeAddress()})...)
	n.cmd.Env = append(os.Environ(), "HOME="+n.dir)
	n.cmd.Stdout, n.cmd.Stderr = output, output
	// It must not outlive a killed test.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(n.tb, n.cmd.Start())
	n.done = make(chan struct{})
	go func() {
		_ = n.cmd.Wait()
		close(n.done)
	}()
	if !n.listens() {
		return false
	}
	if n.CertFile != "" {
		config.Certificates, err = os.ReadFile(n.CertFile)
		require.NoError(n.tb, err)
	}
	n.rpc, err = rpcclient.New(&config, nil)
	require.NoError(n.tb, err)
	_, err = n.rpc.GetBlockCount()
	return err == nil
}

// listens waits until the node accepts connections. It reports false if the node ends before.
func (n *Node) listens() bool {
	for {
		if conn, err := net.Dial("tcp", n.host); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-n.done:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends the node as an operator would. Its blocks stay for [Node.Start].
func (n *Node) Stop() { n.end(syscall.SIGTERM) }

// Kill ends the node at once. btcd writes blocks late: the latest are lost.
func (n *Node) Kill() { n.end(syscall.SIGKILL) }

func (n *Node) end(signal syscall.Signal) {
	if n.rpc != nil {
		n.rpc.Shutdown()
	}
	if n.cmd != nil && n.cmd.Process != nil {
		_ = n.cmd.Process.Signal(signal)
		<-n.done
	}
}

// Generate mines count blocks and returns their hashes.
func (n *Node) Generate(count uint32) []string {
	n.tb.Helper()
	hashes, err := n.rpc.Generate(count)
	require.NoError(n.tb, err)
	var texts []string
	for _, h := range hashes {
		texts = append(texts, h.String())
	}
	return texts
}

// InvalidateBlock takes a block and those after it out of the active chain.
func (n *Node) InvalidateBlock(hash string) {
	n.tb.Helper()
	require.NoError(n.tb, n.rpc.InvalidateBlock(n.parse(hash)))
}

// ReconsiderBlock undoes [Node.InvalidateBlock].
func (n *Node) ReconsiderBlock(hash string) {
	n.tb.Helper()
	require.NoError(n.tb, n.rpc.ReconsiderBlock(n.parse(hash)))
}

func (n *Node) parse(hash string) *chainhash.Hash {
	n.tb.Helper()
	h, err := chainhash.NewHashFromStr(hash)
	require.NoError(n.tb, err)
	return h
}

// Height returns the height of the tip.
func (n *Node) Height() int64 {
	n.tb.Helper()
	height, err := n.rpc.GetBlockCount()
	require.NoError(n.tb, err)
	return height
}

// Hash returns the hash of the block at a height.
func (n *Node) Hash(height int64) string {
	n.tb.Helper()
	hash, err := n.rpc.GetBlockHash(height)
	require.NoError(n.tb, err)
	return hash.String()
}

// Binary returns the path of the btcd that [StartNode] starts.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := binary()
	require.NoError(tb, err)
	return path
}
