package bitcoin

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/exit"
)

// In these tests, time advances only while everything waits.

// TestTriedAgain: a call is retried until the wait is over and no longer, with one message.
func TestTriedAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		// attempt is what goes wrong each time.
		attempt  func(context.Context) error
		attempts int
		took     time.Duration
		err      string
		hint     string
	}{
		{"-28", func(context.Context) error {
			return btcjson.NewRPCError(btcjson.ErrRPCInWarmup, "Loading block index…")
		},
			17, 56300 * time.Millisecond, "-28: Loading block index… (waited 56.3s)", "the node is starting: wait, or wait longer with --rpc-wait"},
		{"503", func(context.Context) error { return &StatusError{Code: 503, passing: true} },
			17, 56300 * time.Millisecond, "503 Service Unavailable (waited 56.3s)", "the node is busy: wait longer with --rpc-wait"},
		{"no answer", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
			2, time.Minute, "(waited 1m0s)", "BITCOIN_RPC_TIMEOUT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var warnings []string
				c, err := Open(Options{User: "u", Password: "p", Timeout: 30 * time.Second, Wait: time.Minute},
					func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) })
				require.NoError(t, err)
				start, attempts := time.Now(), 0
				err = c.retried(t.Context(), "getblockcount", func(ctx context.Context) error {
					attempts++
					return test.attempt(ctx)
				})
				require.ErrorContains(t, err, test.err)
				var hinted *exit.Error
				require.ErrorAs(t, err, &hinted)
				require.Contains(t, hinted.Hint, test.hint)
				require.Equal(t, test.attempts, attempts)
				require.Equal(t, test.took, time.Since(start))
				require.Len(t, warnings, 1)
				require.Contains(t, warnings[0], "retrying for up to 1m0s")
			})
		})
	}
}

// TestOutageSaidOnce: an outage is reported once a minute, whatever port is in its text, and in
// whichever call the connection was lost.
func TestOutageSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warnings []string
		c, err := Open(Options{Wait: 90 * time.Second}, func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) })
		require.NoError(t, err)
		attempts := 0
		err = c.retried(t.Context(), "getblockcount", func(context.Context) error {
			attempts++
			end := []error{syscall.ECONNRESET, io.EOF, syscall.EPIPE, syscall.ECONNREFUSED}[attempts%4]
			return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000 + attempts}, Err: end}
		})
		require.Error(t, err)
		require.Greater(t, attempts, 15)
		require.Len(t, warnings, 2)
		warnings = nil
		for _, e := range []error{btcjson.NewRPCError(btcjson.ErrRPCInWarmup, "Loading wallet…"), btcjson.NewRPCError(btcjson.ErrRPCInWarmup, "Verifying blocks…"),
			&StatusError{Code: 503, passing: true}, &StatusError{Code: 429, passing: true}, errTimeout, errTimeout} {
			left := 2
			require.NoError(t, c.retried(t.Context(), "getblockcount", func(context.Context) error {
				if left--; left < 0 {
					return nil
				}
				return e
			}))
		}
		require.Len(t, warnings, 4)
	})
}

// TestInterruptedPause: a pause ends at once when it is interrupted.
func TestInterruptedPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(Options{Wait: time.Hour}, t.Logf)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		err = c.retried(ctx, "getblockcount", func(context.Context) error { return errTruncated })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}
