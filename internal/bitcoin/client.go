// Package bitcoin talks to the JSON-RPC server of a Bitcoin node, Bitcoin Core
// or btcd, and checks every answer before it trusts it.
package bitcoin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/exit"
)

// Defaults of [Options].
const (
	DefaultURL     = "http://localhost:8332"
	DefaultTimeout = 30 * time.Second
	DefaultWait    = time.Minute
)

// MaxTimeout is the longest [Options.Timeout]: soon after that, rpcclient gives up on a call.
const MaxTimeout = 10 * time.Minute

// Options say where the node is and how to log in. The first credentials that are set are
// used: in the URL, CookieFile, User with a password, and the cookie file of a local node
// in its default place.
type Options struct {
	URL          string // "" for [DefaultURL]
	CookieFile   string
	User         string
	Password     string
	PasswordFile string        // has the password, if Password is ""
	CACert       string        // PEM file to trust for https instead of the system's roots
	Timeout      time.Duration // for one request and its answer, up to [MaxTimeout]; 0 for [DefaultTimeout]
	Wait         time.Duration // how long in total to retry a call that fails; 0 for not at all
	// UnnamedWallet makes "" mean Bitcoin Core's wallet without a name, even if other
	// wallets are loaded.
	UnnamedWallet bool
}

// maxAnswer limits the size of one answer, in bytes.
const maxAnswer = 32 << 20

// Client calls one node. Its methods are safe for concurrent use. They return the
// context's error when it ends, and otherwise errors that carry a hint: a
// *btcjson.RPCError if the node refused, a [*StatusError] if its HTTP server did,
// [ErrBadAnswer] if the answer cannot be trusted. No error contains credentials, or more of
// the URL than its scheme and host.
type Client struct {
	url           *url.URL // without credentials
	name          string   // for messages
	credentials   credentials
	kept          *http.Client // keeps its connections
	fresh         *http.Client // opens a connection for each request
	timeout, wait time.Duration
	outages       *outages
	ids           *atomic.Uint64
	batches       *atomic.Int64 // how many calls a batch may have; 1 for none
	unnamed       bool          // see [Options.UnnamedWallet]
	lacking       *atomic.Int64 // height of the header whose block was waited for in vain
}

// Open prepares calls to a node, without making one. Warnings are passed to warn, also while
// calls are retried.
func Open(o Options, warn func(format string, args ...any)) (*Client, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, exit.Fail("give the node's URL with --bitcoin-rpc, such as "+DefaultURL, err) // the URL of --bitcoin-rpc is not one
	}
	c := &Client{
		name:    "Bitcoin RPC at " + u.Scheme + "://" + u.Host,
		timeout: o.Timeout,
		wait:    o.Wait,
		unnamed: o.UnnamedWallet,
		outages: &outages{warn: warn, said: map[string]time.Time{}},
		ids:     new(atomic.Uint64),
		batches: new(atomic.Int64),
		lacking: new(atomic.Int64),
	}
	c.batches.Store(batchSize)
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if c.credentials, err = findCredentials(o, u); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: inFlight,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
		Protocols:           new(http.Protocols),
	}
	// With HTTP/2, which nodes do not speak, net/http would send a request again that a proxy
	// in front of the node has given up on.
	transport.Protocols.SetHTTP1(true)
	if transport.TLSClientConfig, err = trust(o.CACert, u.Scheme); err != nil {
		return nil, err
	}
	once := transport.Clone()
	once.DisableKeepAlives = true
	c.kept, c.fresh = httpClient(transport), httpClient(once)
	u.User = nil
	c.url = u
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		warn("%s: the connection is not encrypted, and the credentials can be read on the way: use https or a tunnel", c.name)
	}
	return c, nil
}

// parseURL keeps the URL out of its errors, since it may contain a password.
func parseURL(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultURL
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("the Bitcoin RPC URL cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the Bitcoin RPC URL must start with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("the Bitcoin RPC URL has no host")
	case strings.Contains(text, "#"):
		return nil, errors.New("the Bitcoin RPC URL has a fragment, which is not sent to the node: the # and everything after it")
	}
	return u, nil
}

// trust returns what to trust for https, nil for the system's roots.
func trust(caCert, scheme string) (*tls.Config, error) {
	if caCert == "" {
		return nil, nil
	}
	if scheme != "https" {
		return nil, exit.Failf("start the URL with https://", "--rpc-ca-cert has no effect with http")
	}
	pem, err := readSmall(caCert)
	if err != nil {
		return nil, exit.Fail("", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, exit.Failf("", "%s has no certificate in PEM format", caCert)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// httpClient returns a client that follows no redirect: that could send the credentials
// elsewhere, or turn the POST into a GET.
func httpClient(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// URL returns the URL of the node, without credentials.
func (c *Client) URL() string { return c.url.String() }

// Wallet returns a client for the calls of one wallet of the node. Without a name it is the
// loaded one, except with [Options.UnnamedWallet].
func (c *Client) Wallet(name string) (*Client, error) {
	if name == "" && !c.unnamed {
		return c, nil
	}
	if name == "." || name == ".." {
		return nil, exit.Failf("name a wallet of the node: list them with bitcoin-cli listwallets", "%q is not a wallet name: in a path it leads elsewhere", name)
	}
	u := *c.url
	u.RawPath = strings.TrimRight(u.EscapedPath(), "/") + "/wallet/" + url.PathEscape(name)
	var err error
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return nil, err
	}
	w := *c
	w.url = &u
	return &w, nil
}

// Call calls a method that may be called twice. result is a pointer that
// [encoding/json] can decode into, numbers for an any as [json.Number]; nil if
// the result does not matter. A null result is an error, except for a *json.RawMessage.
func (c *Client) Call(ctx context.Context, method string, params []any, result any) error {
	return c.call(ctx, method, params, func(text json.RawMessage) error { return decodeResult(text, result) }, nil)
}

// call passes the result to read. about, if not nil, adds to an error what the call was for.
func (c *Client) call(ctx context.Context, method string, params []any, read func(json.RawMessage) error, about func(error) error) error {
	return c.retried(ctx, method, func(ctx context.Context) error {
		text, err := c.ask(ctx, c.kept, method, params)
		if err == nil {
			err = read(text)
		}
		// The reason for retrying is reported once for many calls, so it must not vary.
		if err != nil && about != nil && !passing(err) {
			err = about(err)
		}
		return err
	})
}

// Send is [Client.Call] for a method that must not be carried out twice: it makes one
// attempt, on a new connection. An error that is [ErrOutcomeUnknown] leaves open whether the
// node did it, even if the context ended; after any other error it certainly did not.
func (c *Client) Send(ctx context.Context, method string, params []any, result any) error {
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	limited, cancel := context.WithTimeoutCause(traced, c.timeout, errTimeout)
	defer cancel()
	text, err := c.ask(limited, c.fresh, method, params)
	if err == nil {
		err = decodeResult(text, result)
	}
	switch {
	case err == nil:
		return nil
	case connected.Load() && !refused(err):
		return c.explain(method, fmt.Errorf("%w: %v", ErrOutcomeUnknown, err))
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return c.explain(method, err)
}

// post sends one request and passes the answer to decode, which must not keep it. A node's
// own error, as decode finds it, takes precedence over the HTTP status: Bitcoin Core sends
// such errors with a status of 404 or 500.
func (c *Client) post(ctx context.Context, client *http.Client, body []byte, decode func([]byte) error) error {
	login, err := c.credentials.current()
	if err != nil && c.credentials.source != "" {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if login.user != "" {
		req.SetBasicAuth(login.user, login.password)
	}
	resp, err := client.Do(req)
	if err != nil {
		return timedOut(ctx, withoutURL(err))
	}
	defer resp.Body.Close()
	answer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(answer)
	answer.Reset()
	_, err = answer.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return timedOut(ctx, err)
	case answer.Len() > maxAnswer:
		return fmt.Errorf("%w: longer than %d MiB", ErrBadAnswer, maxAnswer>>20)
	case resp.StatusCode == http.StatusOK:
		return decode(answer.Bytes())
	case fromServer(resp.StatusCode):
		return c.statusError(resp.StatusCode, answer.Bytes(), login)
	}
	var rpc *btcjson.RPCError
	if err := decode(answer.Bytes()); errors.As(err, &rpc) {
		return err
	}
	return c.statusError(resp.StatusCode, answer.Bytes(), login)
}

// fromServer reports whether a status comes from the node's HTTP server or a proxy in front
// of it, and never from the node itself, whatever JSON comes with it.
func fromServer(code int) bool {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// statusError returns the error for an answer that is only an HTTP error.
func (c *Client) statusError(code int, text []byte, used login) error {
	e := &StatusError{Code: code}
	switch code {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.passing = true
	case http.StatusInternalServerError:
		e.passing = bytes.Contains(bytes.ToLower(text), []byte("work queue depth exceeded"))
	case http.StatusUnauthorized:
		// The node may have restarted since the cookie was read.
		now, err := c.credentials.current()
		e.passing = err == nil && now != used
	}
	return e
}
