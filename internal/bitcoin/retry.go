package bitcoin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/btcsuite/btcd/btcjson"
)

// The pauses between attempts double from the first to the longest.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// retried makes attempts until one succeeds or fails permanently, or the wait is over.
func (c *Client) retried(ctx context.Context, what string, attempt func(context.Context) error) error {
	start := time.Now()
	limit := c.timeout
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		limited, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
		err := attempt(limited)
		cancel()
		left := c.wait - time.Since(start) - pause
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !passing(err):
			return c.explain(what, err)
		case left <= 0:
			return c.explain(what, fmt.Errorf("%w (waited %s)", err, time.Since(start).Round(time.Millisecond)))
		}
		c.outages.say(outageOf(err), fmt.Sprintf("%s: %v: retrying for up to %s", c.name, err, c.wait))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		limit = min(c.timeout, left)
	}
}

// outages reports why calls are retried: each reason at most once a minute, since many calls
// fail together.
type outages struct {
	warn func(format string, args ...any)
	mu   sync.Mutex
	said map[string]time.Time
}

func (o *outages) say(outage, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last, known := o.said[outage]; known && time.Since(last) < time.Minute {
		return
	}
	o.said[outage] = time.Now()
	o.warn("%s", text)
}

// outageOf names an outage by its error, without the parts that differ between attempts,
// such as the local port, or the call in which the connection was lost.
func outageOf(err error) string {
	var rpc *btcjson.RPCError
	var status *StatusError
	switch {
	case errors.As(err, &rpc):
		return fmt.Sprint(rpc.Code)
	case errors.As(err, &status):
		return status.Error()
	case lostConnection(err):
		return "connection"
	}
	return err.Error()
}
