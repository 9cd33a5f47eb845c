package flags

import (
	"fmt"
	"os"
	"strconv"
	"time"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
)

// Names of the flags for a Bitcoin node.
const (
	bitcoinRPC    = "bitcoin-rpc"
	rpcCookieFile = "rpc-cookie-file"
	rpcCACert     = "rpc-ca-cert"
	rpcWait       = "rpc-wait"
)

// BitcoinRPC returns the flags that say where a Bitcoin node is. None takes a password:
// every user of the machine can see the arguments of a process.
func BitcoinRPC() []urfave.Flag {
	return []urfave.Flag{
		&urfave.StringFlag{
			Name:        bitcoinRPC,
			Usage:       "ask the Bitcoin node (Bitcoin Core or btcd) at `URL`",
			DefaultText: bitcoin.DefaultURL,
			EnvVars:     []string{"BITCOIN_RPC_URL"},
		},
		&urfave.StringFlag{Name: rpcCookieFile, Usage: "log in to the node with the cookie in `FILE`", DefaultText: "the cookie of a local node"},
		&urfave.StringFlag{Name: rpcCACert, Usage: "trust the certificates in `FILE` for https, instead of the system's"},
		&urfave.DurationFlag{Name: rpcWait, Usage: "wait up to `DURATION` for a node that is starting, busy or unreachable", Value: bitcoin.DefaultWait},
	}
}

// OptionalBitcoinRPC is [BitcoinRPC] for a tool that asks a node only when told to.
func OptionalBitcoinRPC() []urfave.Flag {
	all := BitcoinRPC()
	all[0].(*urfave.StringFlag).DefaultText = "no node is asked"
	return all
}

// BitcoinEnvironment returns the environment variables that go with [BitcoinRPC].
func BitcoinEnvironment() []cli.Entry {
	return []cli.Entry{
		{Name: "BITCOIN_RPC_USER", Text: "log in to the node as this user, unless the URL has a login or --rpc-cookie-file is given"},
		{Name: "BITCOIN_RPC_PASSWORD", Text: "the password of that user"},
		{Name: "BITCOIN_RPC_PASSWORD_FILE", Text: "a file that holds the password, when BITCOIN_RPC_PASSWORD is not set"},
		{Name: "BITCOIN_RPC_TIMEOUT", Text: fmt.Sprintf("the time limit for one request and its answer, at most %.0fm (default: %s)", bitcoin.MaxTimeout.Minutes(), bitcoin.DefaultTimeout)},
	}
}

// BitcoinFiles returns the files that go with [BitcoinRPC].
func BitcoinFiles() []cli.Entry {
	return []cli.Entry{{Name: "~/.bitcoin/.cookie", Text: "the login of Bitcoin Core on this machine, when no other is given; for other networks in a subfolder, such as testnet3"}}
}

// ParseBitcoinRPC reads the flags of [BitcoinRPC] and the environment variables that go with
// them. given reports whether a URL was set at all. An empty variable counts as unset.
func ParseBitcoinRPC(c *urfave.Context) (o bitcoin.Options, given bool, err error) {
	o = bitcoin.Options{
		URL:          c.String(bitcoinRPC),
		CookieFile:   c.String(rpcCookieFile),
		User:         os.Getenv("BITCOIN_RPC_USER"),
		Password:     os.Getenv("BITCOIN_RPC_PASSWORD"),
		PasswordFile: os.Getenv("BITCOIN_RPC_PASSWORD_FILE"),
		CACert:       c.String(rpcCACert),
		Timeout:      bitcoin.DefaultTimeout,
		Wait:         c.Duration(rpcWait),
		// Without the flag it is the loaded wallet.
		UnnamedWallet: c.IsSet(wallet) && c.String(wallet) == "",
	}
	if text := os.Getenv("BITCOIN_RPC_TIMEOUT"); text != "" {
		if o.Timeout, err = parseTimeout(text); err != nil {
			return o, false, err
		}
	}
	if o.Wait < 0 {
		return o, false, fmt.Errorf("--%s %s is negative", rpcWait, o.Wait)
	}
	return o, o.URL != "", nil
}

// parseTimeout reads a duration, or a number of seconds.
func parseTimeout(text string) (time.Duration, error) {
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("BITCOIN_RPC_TIMEOUT %q is not a duration such as 30s", text)
	}
	if d > bitcoin.MaxTimeout {
		return 0, fmt.Errorf("BITCOIN_RPC_TIMEOUT %q is more than %.0fm", text, bitcoin.MaxTimeout.Minutes())
	}
	return d, nil
}
