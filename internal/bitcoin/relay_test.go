package bitcoin

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/rpcclient"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/workers"
)

// misbehaving returns a client of a node that answers that way.
func misbehaving(t *testing.T, o Options, answer func(w http.ResponseWriter, r *http.Request)) (*Client, *bitcointest.Chain) {
	t.Helper()
	chain := bitcointest.NewChain(0)
	chain.Misbehave = func(_ int64, w http.ResponseWriter, r *http.Request, _ []byte) bool {
		answer(w, r)
		return true
	}
	o.URL = chain.Serve(t)
	c, err := Open(o, t.Logf)
	require.NoError(t, err)
	return c, chain
}

func resetConnection(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// impatient limits the time of each attempt of rpcclient, and counts the attempts. rpcclient's
// own limit of a minute cannot be changed.
func impatient(t *testing.T, limit time.Duration) (tries *atomic.Int64) {
	t.Helper()
	tries = new(atomic.Int64)
	newRPC = func(config *rpcclient.ConnConfig, handlers *rpcclient.NotificationHandlers) (*rpcclient.Client, error) {
		client, err := rpcclient.New(config, handlers)
		if err == nil {
			field := reflect.ValueOf(client).Elem().FieldByName("httpClient")
			inner := *(**http.Client)(unsafe.Pointer(field.UnsafeAddr()))
			inner.Timeout, inner.Transport = limit, counting{inner.Transport, tries}
		}
		return client, err
	}
	t.Cleanup(func() { newRPC = rpcclient.New })
	return tries
}

type counting struct {
	http.RoundTripper
	tries *atomic.Int64
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.tries.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// TestPaidOnce: a call that pays reaches the node once. rpcclient alone sends it 10 times after
// a lost answer, 100 times after a redirect, and again after a minute.
func TestPaidOnce(t *testing.T) {
	for _, method := range []string{"bumpfee", "sendrawtransaction"} {
		for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
			"reset": func(w http.ResponseWriter, _ *http.Request) { resetConnection(w) },
			"lost half-way": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, `{"result":`)
				panic(http.ErrAbortHandler)
			},
			"redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			},
		} {
			c, chain := misbehaving(t, Options{Wait: time.Hour}, answer)
			err := c.Send(t.Context(), method, []any{"00"}, nil)
			require.Error(t, err, name)
			require.Equal(t, name != "redirect", errors.Is(err, ErrOutcomeUnknown), "%s: %v", name, err)
			require.EqualValues(t, 1, chain.Requests(), name)
		}
		t.Run(method+" answered late", func(t *testing.T) {
			tries := impatient(t, 50*time.Millisecond)
			c, chain := misbehaving(t, Options{Timeout: time.Hour}, func(w http.ResponseWriter, _ *http.Request) {
				for tries.Load() < 3 {
					runtime.Gosched()
				}
				_, _ = io.WriteString(w, `{"result":"done","error":null,"id":1}`)
			})
			var result string
			require.NoError(t, c.Send(t.Context(), method, []any{"00"}, &result))
			require.Equal(t, "done", result)
			require.GreaterOrEqual(t, tries.Load(), int64(3))
			require.EqualValues(t, 1, chain.Requests())
		})
	}
}

// TestErrorsOfServersBeforeANode: what a node itself refuses, it has not done. A proxy in front
// of it may report an error when it has only stopped waiting.
func TestErrorsOfServersBeforeANode(t *testing.T) {
	for body, unknown := range map[string]bool{
		`{"code":-1,"message":"misfortune"}`:        false,
		`{"code":-4,"message":"wallet"}`:            false,
		`{"code":-13,"message":"locked"}`:           false,
		`{"code":-26,"message":"min relay fee"}`:    false,
		`{"code":-28,"message":"Loading…"}`:         false,
		`{"code":-32601,"message":"no method"}`:     false,
		`{"code":-32700,"message":"Parse error"}`:   false,
		`{"code":-32000,"message":"timeout"}`:       true,
		`{"code":-32005,"message":"rate"}`:          true,
		`{"code":-32603,"message":"Internal"}`:      true,
		`{"code":504,"message":"gateway timeout"}`:  true,
		`{"code":-504,"message":"gateway timeout"}`: true,
		`{"message":"upstream timed out"}`:          true,
	} {
		for _, code := range []int{200, 400, 404, 500} {
			c, chain := misbehaving(t, Options{Wait: time.Hour}, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				_, _ = io.WriteString(w, `{"result":null,"error":`+body+`,"id":1}`)
			})
			err := c.Send(t.Context(), "sendrawtransaction", []any{"00"}, nil)
			require.Error(t, err)
			require.Equal(t, unknown, errors.Is(err, ErrOutcomeUnknown), "%d %s: %v", code, body, err)
			require.EqualValues(t, 1, chain.Requests())
		}
	}
}

// TestEveryCallPassesRPCClient: every call goes through rpcclient, except for batches.
func TestEveryCallPassesRPCClient(t *testing.T) {
	var passed atomic.Int64
	newRPC = func(config *rpcclient.ConnConfig, handlers *rpcclient.NotificationHandlers) (*rpcclient.Client, error) {
		passed.Add(1)
		return rpcclient.New(config, handlers)
	}
	t.Cleanup(func() { newRPC = rpcclient.New })
	chain := bitcointest.NewChain(30)
	c, err := Open(Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	for name, call := range map[string]func() error{
		"Call":        func() error { return c.Call(t.Context(), "getblockcount", nil, nil) },
		"Send":        func() error { return c.Send(t.Context(), "getblockcount", nil, nil) },
		"ChainInfo":   func() error { _, err := c.ChainInfo(t.Context()); return err },
		"Tip":         func() error { _, err := c.Tip(t.Context()); return err },
		"BlockHash":   func() error { _, err := c.BlockHash(t.Context(), 7); return err },
		"BlockHeader": func() error { _, err := c.BlockHeader(t.Context(), chain.Hash(7)); return err },
	} {
		before, requests := passed.Load(), chain.Requests()
		require.NoError(t, call(), name)
		require.EqualValues(t, 1, passed.Load()-before, name)
		require.EqualValues(t, 1, chain.Requests()-requests, name)
	}
	before, requests := passed.Load(), chain.Requests()
	require.NoError(t, c.BlockHeaders(t.Context(), 0, 30, func(Header) error { return nil }))
	require.EqualValues(t, 2, chain.Requests()-requests)
	require.Equal(t, before, passed.Load())
}

// TestGivenUpByRPCClient: when rpcclient gives up on a call that was sent, it may have been
// carried out.
func TestGivenUpByRPCClient(t *testing.T) {
	sent, gaveUp := make(chan struct{}), make(chan struct{})
	newRPC = func(config *rpcclient.ConnConfig, handlers *rpcclient.NotificationHandlers) (*rpcclient.Client, error) {
		client, err := rpcclient.New(config, handlers)
		go func() {
			<-sent
			client.Shutdown()
			client.WaitForShutdown()
			close(gaveUp)
		}()
		return client, err
	}
	t.Cleanup(func() { newRPC = rpcclient.New })
	c, chain := misbehaving(t, Options{Timeout: time.Hour}, func(w http.ResponseWriter, _ *http.Request) {
		close(sent)
		<-gaveUp
		_, _ = io.WriteString(w, `{"result":"done","error":null,"id":1}`)
	})
	require.ErrorIs(t, c.Send(t.Context(), "sendrawtransaction", []any{"00"}, nil), ErrOutcomeUnknown)
	require.EqualValues(t, 1, chain.Requests())
}

// TestOtherRequestsOfRPCClient: a request that was not asked for is not sent, nor is it given
// the answer to the one that was.
func TestOtherRequestsOfRPCClient(t *testing.T) {
	carried := 0
	e := &exchange{token: "t", carry: func([]byte) (json.RawMessage, error) { carried++; return []byte("7"), nil }}
	post := func(token, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set(tokenHeader, token)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w
	}
	require.Equal(t, http.StatusNotFound, post("other", "a").Code)
	require.Equal(t, http.StatusNotFound, post("", "a").Code)
	require.Zero(t, carried)
	for range 3 {
		require.JSONEq(t, `{"result":7,"error":null,"id":null}`, post("t", "a").Body.String())
	}
	w := post("t", "b")
	require.Equal(t, http.StatusConflict, w.Code)
	require.Zero(t, w.Body.Len())
	require.Equal(t, 1, carried)

	ended := &exchange{token: "t", carry: func([]byte) (json.RawMessage, error) { panic("after its end") }}
	require.ErrorIs(t, ended.end(context.Canceled), context.Canceled)
	e = ended
	require.Equal(t, http.StatusConflict, post("t", "a").Code)
}

// TestStatusWithJSON: an HTTP error stays one, whatever JSON comes with it. rpcclient takes such
// a body for a null result.
func TestStatusWithJSON(t *testing.T) {
	for _, code := range []int{401, 403, 429, 500, 502, 503, 504} {
		for _, body := range []string{`{}`, `null`, `{"message":"rate limited"}`, `{"result":null,"error":null,"id":1}`,
			`{"result":"0000","error":null,"id":1}`, `{"result":null,"error":{"code":-32000,"message":"login"},"id":1}`} {
			own := strings.Contains(body, "-32000") && code == 500
			c, chain := misbehaving(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
			})
			for _, call := range []func() error{
				func() error { return c.Call(t.Context(), "getblockcount", nil, nil) },
				func() error { return c.Send(t.Context(), "sendrawtransaction", []any{"00"}, nil) },
				func() error { _, err := c.BlockHash(t.Context(), 1); return err },
			} {
				err := call()
				var status *StatusError
				var rpc *btcjson.RPCError
				switch unknown := errors.Is(err, ErrOutcomeUnknown); {
				case own && unknown:
					require.ErrorContains(t, err, "-32000: login")
				case own:
					require.ErrorAs(t, err, &rpc)
				case unknown:
					require.Contains(t, []int{500, 502, 504}, code)
					require.ErrorContains(t, err, fmt.Sprintf("HTTP status %d", code))
				default:
					require.ErrorAs(t, err, &status, "%d %s: %v", code, body, err)
					require.Equal(t, code, status.Code)
				}
			}
			require.EqualValues(t, 3, chain.Requests())
		}
	}
}

// TestNotBelieved: after an answer that is malformed, or that answers another call, a call does
// not count as done.
func TestNotBelieved(t *testing.T) {
	for _, body := range []string{`{}`, `null`, `[]`, `{"message":"ok"}`, `{"result":"done","error":null,"id":2}`, `{"result":"done","error":null,"id":null}`,
		`{"result":"done","id":"1"}`, `{"result":"done","error":null,"id":1}{}`, `[{"result":"done","error":null,"id":1}]`} {
		c, chain := misbehaving(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		err := c.Send(t.Context(), "bumpfee", []any{"00"}, nil)
		require.ErrorIs(t, err, ErrOutcomeUnknown, body)
		require.EqualValues(t, 1, chain.Requests())
		c, _ = misbehaving(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		_, err = c.BlockHash(t.Context(), 1)
		require.ErrorIs(t, err, ErrBadAnswer, body)
		require.ErrorContains(t, err, "getblockhash: height 1: ")
	}
}

// TestErrorsAreWhatTheyWere: an error keeps its type and its chain when it passes rpcclient.
func TestErrorsAreWhatTheyWere(t *testing.T) {
	serve := func(answer func(w http.ResponseWriter, r *http.Request)) func(context.Context, *testing.T) error {
		return func(ctx context.Context, t *testing.T) error {
			c, _ := misbehaving(t, Options{Timeout: time.Second}, answer)
			return c.Call(ctx, "getblockcount", nil, new(int64))
		}
	}
	hang := serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, c := range map[string]struct {
		call func(context.Context, *testing.T) error
		is   error
		as   any
	}{
		"reset":   {serve(func(w http.ResponseWriter, _ *http.Request) { resetConnection(w) }), syscall.ECONNRESET, new(*net.OpError)},
		"closed":  {serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), io.EOF, nil},
		"no JSON": {serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), ErrBadAnswer, nil},
		"refused by the node": {serve(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"result":null,"error":{"code":-8,"message":"no"},"id":1}`)
		}), nil, new(*btcjson.RPCError)},
		"status": {serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }), nil, new(*StatusError)},
		"late":   {hang, errTimeout, nil},
		"interrupted": {func(ctx context.Context, t *testing.T) error {
			ctx, cancel := context.WithCancel(ctx)
			return serve(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })(ctx, t)
		}, context.Canceled, nil},
		"out of time": {func(ctx context.Context, t *testing.T) error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			return hang(ctx, t)
		}, context.DeadlineExceeded, nil},
		"no server": {func(ctx context.Context, t *testing.T) error {
			c, err := Open(Options{URL: "http://127.0.0.1:1"}, t.Logf)
			require.NoError(t, err)
			return c.Call(ctx, "getblockcount", nil, nil)
		}, syscall.ECONNREFUSED, new(*net.OpError)},
	} {
		err := c.call(t.Context(), t)
		require.Error(t, err, name)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, name)
		}
		if c.as != nil {
			require.ErrorAs(t, err, c.as, name)
		}
		require.NotContains(t, err.Error(), "unix", name)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("on the way") }

// TestPanicOnTheWay: a panic becomes an error that says where it happened.
func TestPanicOnTheWay(t *testing.T) {
	c, err := Open(Options{Wait: time.Hour}, t.Logf)
	require.NoError(t, err)
	c.kept.Transport, c.fresh.Transport = panicking{}, panicking{}
	for _, err := range []error{c.Call(t.Context(), "getblockcount", nil, nil), c.Send(t.Context(), "bumpfee", nil, nil)} {
		var p *workers.PanicError
		require.ErrorAs(t, err, &p)
		require.ErrorContains(t, err, "RoundTrip (relay_test.go:")
	}
}

// TestLargeAnswers: an answer takes no more memory than allowed, even if it is endless or
// compressed.
func TestLargeAnswers(t *testing.T) {
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	var bomb bytes.Buffer
	z, err := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	require.NoError(t, err)
	for range 128 {
		_, err := z.Write(chunk)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"2 GiB": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(2<<30))
			for range 2 << 10 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"gzip": func(w http.ResponseWriter, r *http.Request) {
			require.Empty(t, r.Header.Get("Accept-Encoding"))
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		},
	} {
		c, _ := misbehaving(t, Options{}, answer)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.ErrorIs(t, c.Call(t.Context(), "getblock", nil, nil), ErrBadAnswer, name)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*maxAnswer), name)
	}
}

// TestStranger: another process that dials the socket of a call gets nothing, and can send
// nothing.
func TestStranger(t *testing.T) {
	var host string
	newRPC = func(config *rpcclient.ConnConfig, handlers *rpcclient.NotificationHandlers) (*rpcclient.Client, error) {
		host = strings.TrimPrefix(config.Host, "unix://")
		return rpcclient.New(config, handlers)
	}
	t.Cleanup(func() { newRPC = rpcclient.New })
	var mu sync.Mutex
	var got []string
	c, chain := misbehaving(t, Options{User: "u", Password: "p4ss"}, func(w http.ResponseWriter, _ *http.Request) {
		stranger := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", host) }}}
		for _, token := range []string{"", strings.Repeat("A", 26), strings.Repeat("A", 16<<10)} {
			r, _ := http.NewRequest(http.MethodPost, "http://unix", strings.NewReader(`{"jsonrpc":"1.0","method":"sendrawtransaction","params":["00"],"id":1}`))
			r.Header.Set(tokenHeader, token)
			resp, err := stranger.Do(r)
			mu.Lock()
			if err != nil {
				got = append(got, err.Error())
			} else {
				text, _ := httpText(resp)
				got = append(got, text)
			}
			mu.Unlock()
		}
		_, _ = io.WriteString(w, `{"result":"done","error":null,"id":1}`)
	})
	require.NoError(t, c.Send(t.Context(), "sendrawtransaction", []any{"00"}, nil))
	require.Equal(t, []string{"404 Not Found: ", "404 Not Found: ", "431 Request Header Fields Too Large: 431 Request Header Fields Too Large"}, got)
	require.EqualValues(t, 1, chain.Requests())
	_, err := net.Dial("unix", host)
	require.Error(t, err, "the socket is gone with the call")
}

func httpText(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.Status + ": " + string(text), err
}

// TestNothingIsLeft: calls leave no goroutine, no descriptor and no socket.
func TestNothingIsLeft(t *testing.T) {
	chain := bitcointest.NewChain(10)
	c, err := Open(Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	descriptors := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(names)
	}
	call := func() {
		_, err := c.BlockHash(t.Context(), 7)
		require.NoError(t, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.Call(ended, "getblockcount", nil, nil), context.Canceled)
	}
	call()
	goroutines, open := runtime.NumGoroutine(), descriptors()
	for range 1000 {
		call()
	}
	// Things that end by themselves may take a moment.
	for runtime.NumGoroutine() > goroutines || descriptors() > open {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, chain.Requests(), int64(2*1001))
}
