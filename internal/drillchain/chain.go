// Package drillchain has the Bitcoin chain of a recovery drill: that of a node in
// regression test mode, Bitcoin Core's or btcd, or one that is made up in this process.
package drillchain

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Kind is whose chain it is.
type Kind string

// The kinds of chains, those of nodes by the names of their programs.
const (
	Bitcoind Kind = "bitcoind"
	Btcd     Kind = "btcd"
	MadeUp   Kind = "made up"
)

// Chain is a chain that ailee_resync_blocks can ask for. What a method begins is done
// when it returns. The methods are not safe for concurrent use, while anybody may ask.
type Chain interface {
	// Kind says whose chain it is.
	Kind() Kind
	// URL is that of the JSON-RPC server, without the login, which is in [Login].
	URL() string
	// Mine adds that many blocks to the tip.
	Mine(ctx context.Context, count int64) error
	// Replace takes the last depth blocks back and mines one more than these, none of
	// which was in the chain before.
	Replace(ctx context.Context, depth int64) error
	// Close ends it. A node has no time to save anything: its chain is of no more use.
	Close()
}

// Start starts the chain of the first node on PATH that works, or where there is none, one
// that is made up. dir is a folder for the node, and for the password of whoever asks. warn
// is told of a node that does not work. A chain begins with its genesis block; it is to be
// closed.
func Start(ctx context.Context, dir string, warn func(format string, args ...any)) (Chain, error) {
	login, err := newLogin(dir)
	if err != nil {
		return nil, err
	}
	for _, kind := range []Kind{Bitcoind, Btcd} {
		program, err := exec.LookPath(string(kind))
		if err != nil {
			continue
		}
		n, err := startNode(ctx, kind, program, login)
		switch {
		case err == nil:
			return n, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		warn("%s does not start: %v", kind, err)
	}
	return startMadeUp()
}

// login is what all chains let in, in a folder that nobody else may read: it is never in
// a command line or in an environment. A chain that is made up lets in everybody, but
// without a login a tool would look for that of the Bitcoin node of this machine.
type login struct{ dir, password string }

const (
	user         = "drill"
	passwordFile = "password"
)

func newLogin(dir string) (login, error) {
	l := login{dir, rand.Text()}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return l, err
	}
	return l, l.write(passwordFile, "%s", l.password)
}

// write writes a file of the folder.
func (l login) write(name, format string, args ...any) error {
	return os.WriteFile(filepath.Join(l.dir, name), fmt.Appendf(nil, format, args...), 0o600)
}

// Login are the environment variables by which a tool logs in to a chain that was started
// with this folder.
func Login(dir string) []string {
	return []string{"BITCOIN_RPC_USER=" + user, "BITCOIN_RPC_PASSWORD_FILE=" + filepath.Join(dir, passwordFile)}
}
