package flags_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli/flags"
)

func TestBitcoinRPC(t *testing.T) {
	parse := func(args ...string) (o bitcoin.Options, given bool, err error) {
		app := &urfave.App{Flags: append(flags.BitcoinRPC(), flags.Wallet()), Action: func(c *urfave.Context) (err error) {
			o, given, err = flags.ParseBitcoinRPC(c)
			return err
		}}
		err = app.Run(append([]string{"tool"}, args...))
		return o, given, err
	}
	plain := bitcoin.Options{Timeout: 30 * time.Second, Wait: time.Minute}
	for _, name := range []string{"BITCOIN_RPC_URL", "BITCOIN_RPC_USER", "BITCOIN_RPC_PASSWORD", "BITCOIN_RPC_PASSWORD_FILE", "BITCOIN_RPC_TIMEOUT"} {
		t.Setenv(name, "") // counts as unset
	}
	o, given, err := parse()
	require.NoError(t, err)
	require.False(t, given)
	require.Equal(t, plain, o)

	t.Setenv("BITCOIN_RPC_URL", "http://a:1")
	t.Setenv("BITCOIN_RPC_USER", "u")
	t.Setenv("BITCOIN_RPC_PASSWORD_FILE", "f")
	t.Setenv("BITCOIN_RPC_TIMEOUT", "5")
	o, given, err = parse()
	require.NoError(t, err)
	require.True(t, given)
	require.Equal(t, bitcoin.Options{URL: "http://a:1", User: "u", PasswordFile: "f", Timeout: 5 * time.Second, Wait: time.Minute}, o)

	t.Setenv("BITCOIN_RPC_TIMEOUT", "1m30s")
	o, _, err = parse("--bitcoin-rpc", "http://b:2", "--rpc-cookie-file", "c", "--rpc-ca-cert", "d", "--rpc-wait", "0")
	require.NoError(t, err)
	require.Equal(t, bitcoin.Options{URL: "http://b:2", CookieFile: "c", User: "u", PasswordFile: "f", CACert: "d", Timeout: 90 * time.Second}, o)

	for _, args := range [][]string{nil, {"--wallet", "hot"}, {"--wallet", ""}, {"--wallet="}} {
		o, _, err = parse(args...)
		require.NoError(t, err)
		require.Equal(t, args != nil && args[len(args)-1] != "hot", o.UnnamedWallet, args)
	}

	for _, timeout := range []string{"0", "-1s", "soon", "601", "10m1s"} {
		t.Setenv("BITCOIN_RPC_TIMEOUT", timeout)
		_, _, err = parse()
		require.ErrorContains(t, err, "BITCOIN_RPC_TIMEOUT", timeout)
	}
	t.Setenv("BITCOIN_RPC_TIMEOUT", "")
	_, _, err = parse("--rpc-wait", "-1s")
	require.ErrorContains(t, err, "--rpc-wait -1s is negative")
}
