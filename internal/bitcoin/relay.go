package bitcoin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/rpcclient"

	"ailee-recovery/internal/workers"
)

// rpcclient frames a call and decodes its answer. In between, the bytes travel over the
// client's own transport. The transport of rpcclient sends a request up to ten times, ends it
// after a minute, follows redirects, reads answers of any size, and cannot be replaced
// (v0.26.2). So rpcclient dials a socket of this process, which is open for the duration of the
// call, and an [exchange] forwards the request from there, once.

// tokenHeader is the header with the token of an exchange.
const tokenHeader = "Ailee-Exchange"

// newRPC makes the rpcclient for a call. Tests replace it.
var newRPC = rpcclient.New

// ask makes one call through rpcclient and returns the result, which is one JSON value.
func (c *Client) ask(ctx context.Context, via *http.Client, method string, params []any) (json.RawMessage, error) {
	raw := make([]json.RawMessage, len(params))
	for i, p := range params {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		raw[i] = text
	}
	// An abstract socket: its name has no file, and disappears with the process.
	name := "@ailee-" + rand.Text()
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoSocket, err)
	}
	e := &exchange{token: rand.Text(), carry: func(text []byte) (json.RawMessage, error) { return c.carry(ctx, via, text) }}
	server := &http.Server{Handler: e, MaxHeaderBytes: 4 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	served := workers.Start(func() error { return server.Serve(l) })
	defer func() {
		_ = server.Close()
		<-served
	}()
	client, err := newRPC(&rpcclient.ConnConfig{Host: "unix://" + name, HTTPPostMode: true, DisableTLS: true, DisableAuth: true,
		ExtraHeaders: map[string]string{tokenHeader: e.token}}, nil)
	if err != nil {
		return nil, err
	}
	future := client.RawRequestAsync(method, raw)
	select {
	case r := <-future:
		future = make(rpcclient.FutureRawResult, 1)
		future <- r
	case <-ctx.Done():
		future = rpcclient.NewFutureError(context.Cause(ctx))
	}
	client.Shutdown()
	client.WaitForShutdown()
	result, err := future.Receive()
	if other := e.end(cmp.Or(err, errNotCarried)); other != nil {
		return nil, other
	}
	return result, err
}

// exchange serves the one request of an rpcclient. It carries the request to the node once,
// however often rpcclient sends it. Errors that rpcclient cannot express are in err.
type exchange struct {
	token string
	carry func(request []byte) (json.RawMessage, error)

	once   sync.Once
	sent   []byte // what was carried
	answer []byte // for rpcclient
	err    error  // not one that the node returned
}

// errNotCarried is the error if nothing was carried although rpcclient reported no error.
var errNotCarried = errors.New("an answer to a request that was not sent")

// end waits for a request that is being carried, and keeps any from being carried later. If
// none was, cause is the reason. It returns the error, unless it is one that the node returned.
func (e *exchange) end(cause error) error {
	e.once.Do(func() { e.err = cause })
	return e.err
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(e.token)) != 1 {
		w.WriteHeader(http.StatusNotFound) // another process on this machine
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	e.once.Do(func() {
		defer workers.Recover(&e.err) // otherwise the server would recover, silently
		e.sent = body
		e.answer, e.err = framed(e.carry(body))
	})
	if !bytes.Equal(body, e.sent) {
		w.WriteHeader(http.StatusConflict)
		return
	}
	_, _ = w.Write(e.answer)
}

// framed returns the answer for rpcclient: the result, or the error that the node returned.
// Any other error is returned as such, together with a placeholder answer.
func framed(result json.RawMessage, err error) ([]byte, error) {
	var rpc *btcjson.RPCError
	switch {
	case err == nil:
		return slices.Concat([]byte(`{"result":`), result, []byte(`,"error":null,"id":null}`)), nil
	case errors.As(err, &rpc):
		err = nil
	default:
		rpc = btcjson.NewRPCError(btcjson.ErrRPCMisc, "no answer")
	}
	text, failed := json.Marshal(answer{Result: json.RawMessage("null"), Error: rpc, ID: json.RawMessage("null")})
	return text, errors.Join(err, failed)
}

// carry sends a request of an rpcclient to the node, under a unique id: each rpcclient starts
// counting at 1.
func (c *Client) carry(ctx context.Context, via *http.Client, text []byte) (result json.RawMessage, err error) {
	var r btcjson.Request
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	id := c.ids.Add(1)
	r.ID = id
	if text, err = json.Marshal(r); err != nil {
		return nil, err
	}
	err = c.post(ctx, via, text, func(text []byte) (err error) {
		result, err = decodeAnswer(text, id)
		return err
	})
	return result, err
}
