// Package drillchain provides the Bitcoin chain of a recovery drill: that of Bitcoin Core or
// btcd in regression test mode, or one that is made up in this process.
package drillchain

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Kind says where a chain comes from.
type Kind string

// The kinds of chains. Those of nodes have the names of their programs.
const (
	Bitcoind Kind = "bitcoind"
	Btcd     Kind = "btcd"
	MadeUp   Kind = "made up"
)

// Chain is a chain that ailee_resync_blocks can query. What a method does is complete when it
// returns. The methods are not safe for concurrent use, but the server may be queried meanwhile.
type Chain interface {
	// Kind says where the chain comes from.
	Kind() Kind
	// URL is the URL of the JSON-RPC server, without the login: see [Login].
	URL() string
	// Mine adds count blocks to the tip.
	Mine(ctx context.Context, count int64) error
	// Replace removes the last depth blocks and mines one more than that. None of the new blocks
	// was in the chain before.
	Replace(ctx context.Context, depth int64) error
	// Close ends the chain. A node is killed without time to save anything, so its chain is lost.
	Close()
}

// Start starts the chain of the first node on PATH that works or, if there is none, a made-up
// one. dir is a folder for the node and for the password of its clients. warn is called for a
// node that does not work. A chain begins with its genesis block. The caller must close it.
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

// login is the login of all chains. It is in a folder that no other user may read, and never in a
// command line or an environment. A made-up chain accepts any client, but without a login a tool
// would look for that of the Bitcoin node on this machine.
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

// write writes a file in the folder.
func (l login) write(name, format string, args ...any) error {
	return os.WriteFile(filepath.Join(l.dir, name), fmt.Appendf(nil, format, args...), 0o600)
}

// Login returns the environment variables with which a tool logs in to a chain that was started
// with this folder.
func Login(dir string) []string {
	return []string{"BITCOIN_RPC_USER=" + user, "BITCOIN_RPC_PASSWORD_FILE=" + filepath.Join(dir, passwordFile)}
}
