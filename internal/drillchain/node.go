package drillchain

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/child"
	"ailee-recovery/internal/workers"
)

const (
	// readyWithin is how long a node may take to start and load.
	readyWithin = 2 * time.Minute
	// callWithin bounds a call, which may mine a hundred blocks.
	callWithin = 5 * time.Minute
	// attempts is how many ports are tried: a free port may be taken by the time the node wants
	// it, and the node then exits at once.
	attempts = 3
)

// errEnded means that a node has ended by itself.
var errEnded = errors.New("it has ended")

// node is the process of a node in regression test mode, without peers.
type node struct {
	kind    Kind
	host    string // host and port of the RPC server
	output  string // file with its output
	client  *bitcoin.Client
	process *child.Process
}

func (n *node) Kind() Kind  { return n.kind }
func (n *node) URL() string { return "http://" + n.host }
func (n *node) Close()      { n.process.Kill() }

// startNode starts a node and waits until it is ready.
func startNode(ctx context.Context, kind Kind, program string, l login) (n *node, err error) {
	for range attempts {
		if n, err = tryNode(ctx, kind, program, l); !errors.Is(err, errEnded) {
			break
		}
	}
	return n, err
}

func tryNode(ctx context.Context, kind Kind, program string, l login) (*node, error) {
	host, err := freeAddress()
	if err != nil {
		return nil, err
	}
	n := &node{kind: kind, host: host, output: filepath.Join(l.dir, "output")}
	if n.client, err = bitcoin.Open(bitcoin.Options{URL: n.URL(), User: user, Password: l.password, Timeout: callWithin, Wait: readyWithin}, unsaid); err != nil {
		return nil, err
	}
	args, err := n.arguments(l)
	if err != nil {
		return nil, err
	}
	output, err := os.OpenFile(n.output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = l.dir
	// It must not use the operator's home directory.
	cmd.Env = append(os.Environ(), "HOME="+l.dir)
	cmd.Stdout, cmd.Stderr = output, output
	if n.process, err = child.Start(cmd); err != nil {
		return nil, err
	}
	if err := n.ready(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// unsaid drops the warnings about calls that are tried again: the last failure is an error.
func unsaid(string, ...any) {}

// arguments writes the node's configuration and returns its arguments.
func (n *node) arguments(l login) ([]string, error) {
	host, port, err := net.SplitHostPort(n.host)
	if err != nil {
		return nil, err
	}
	if n.kind == Btcd {
		mining, err := freshAddress()
		return []string{"--regtest", "--nolisten", "--nodnsseed", "--notls", "--configfile=" + filepath.Join(l.dir, "btcd.conf"),
			"--datadir=" + filepath.Join(l.dir, "data"), "--logdir=" + filepath.Join(l.dir, "logs"), "--rpclisten=" + n.host,
			"--miningaddr=" + mining}, errors.Join(err, l.write("btcd.conf", "[Application Options]\nrpcuser=%s\nrpcpass=%s\n", user, l.password))
	}
	return []string{"-regtest", "-datadir=" + l.dir, "-conf=" + filepath.Join(l.dir, "bitcoin.conf"), "-server", "-listen=0", "-connect=0", "-dnsseed=0",
			"-rpcbind=" + host, "-rpcallowip=" + host, "-rpcport=" + port},
		l.write("bitcoin.conf", "rpcuser=%s\nrpcpassword=%s\n", user, l.password)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// freshAddress returns an address to which nothing was ever paid, and whose key nobody has.
func freshAddress() (string, error) {
	var hash [20]byte
	_, _ = rand.Read(hash[:])
	a, err := address.NewAddressPubKeyHash(hash[:], &chaincfg.RegressionNetParams)
	if err != nil {
		return "", err
	}
	return a.EncodeAddress(), nil
}

// ready waits until the node answers other than with "starting" (-28), its answer to every call
// while it loads.
func (n *node) ready(ctx context.Context) error {
	return n.during(ctx, func(ctx context.Context) error {
		if err := n.listens(ctx); err != nil {
			return err
		}
		_, err := n.client.ChainInfo(ctx)
		return err
	})
}

// listens waits until the node accepts connections. It tries more often than the client does.
func (n *node) listens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.host)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, see %s", err, n.output)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// during calls f with a context that also ends when the node does.
func (n *node) during(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers.Start(func() error {
		select {
		case <-n.process.Ended():
			cancel(errEnded)
		case <-ctx.Done():
		}
		return nil
	})
	err := f(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errEnded) {
		return fmt.Errorf("%w, see %s", errEnded, n.output)
	}
	return err
}

func (n *node) Mine(ctx context.Context, count int64) error {
	return n.during(ctx, func(ctx context.Context) error {
		_, err := n.mine(ctx, count)
		return err
	})
}

// mine returns the hashes of the new blocks.
func (n *node) mine(ctx context.Context, count int64) (hashes []string, err error) {
	to, err := freshAddress()
	if err != nil {
		return nil, err
	}
	method, params := "generatetoaddress", []any{count, to}
	if n.kind == Btcd {
		// It always mines to the address on its command line. Its random extra nonce makes
		// every block a new one.
		method, params = "generate", []any{count}
	}
	if err := n.client.Send(ctx, method, params, &hashes); err != nil {
		return nil, err
	}
	if int64(len(hashes)) != count {
		return nil, fmt.Errorf("%s mined %d blocks instead of %d", n.kind, len(hashes), count)
	}
	return hashes, nil
}

func (n *node) Replace(ctx context.Context, depth int64) error {
	return n.during(ctx, func(ctx context.Context) error { return n.replace(ctx, depth) })
}

func (n *node) replace(ctx context.Context, depth int64) error {
	before, err := n.client.ChainInfo(ctx)
	if err != nil {
		return err
	}
	if depth < 1 || depth > before.Blocks {
		return fmt.Errorf("%d of %d blocks cannot be replaced", depth, before.Blocks)
	}
	var first string           // hash of the first block that is replaced
	latest := int64(0)         // time of any block, Unix seconds
	known := map[string]bool{} // hashes
	err = n.client.BlockHeaders(ctx, 0, before.Blocks, func(h bitcoin.Header) error {
		if h.Height == before.Blocks-depth+1 {
			first = h.Hash
		}
		latest = max(latest, h.Time)
		known[h.Hash] = true
		return nil
	})
	if err != nil {
		return err
	}
	if err := n.client.Send(ctx, "invalidateblock", []any{first}, nil); err != nil {
		return err
	}
	if n.kind == Bitcoind {
		// Blocks mined for the same address at the time of those that were invalidated would
		// be the same blocks, which the node refuses.
		if err := n.client.Send(ctx, "setmocktime", []any{max(latest, time.Now().Unix()) + 1}, nil); err != nil {
			return err
		}
	}
	mined, err := n.mine(ctx, depth+1)
	if err != nil {
		return err
	}
	for _, hash := range mined {
		if known[hash] {
			return fmt.Errorf("%s mined the block %s again", n.kind, hash)
		}
	}
	after, err := n.client.ChainInfo(ctx)
	if err == nil && after.Blocks != before.Blocks+1 {
		err = fmt.Errorf("%s is at block %d, not at %d", n.kind, after.Blocks, before.Blocks+1)
	}
	return err
}
