package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcointest"
)

const (
	// chainHeights is how many hashes are fetched from the server in memory.
	chainHeights = 900_000
	// nodeHeights is how many of them from btcd.
	nodeHeights = 500
	// perRequest is how many calls one request carries.
	perRequest = 1000
)

// serveChain serves a chain from memory and prints the URL. It ends with standard
// input.
func serveChain() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	go func() { _ = http.Serve(l, bitcointest.NewChain(chainHeights-1)) }()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serveNode runs btcd and prints the URL. It ends with standard input.
func serveNode() error {
	main := &mainTB{}
	defer main.cleanUp()
	n := bitcointest.StartNode(main, false)
	n.Generate(nodeHeights)
	fmt.Println(n.URL)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// mainTB lets what is made for tests run outside of one.
type mainTB struct {
	testing.TB
	cleanups []func()
}

func (m *mainTB) Helper()          {}
func (m *mainTB) Cleanup(f func()) { m.cleanups = append(m.cleanups, f) }
func (m *mainTB) TempDir() string {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		m.Fatalf("%v", err)
	}
	m.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
func (m *mainTB) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (m *mainTB) FailNow() {
	m.cleanUp()
	os.Exit(1)
}
func (m *mainTB) Fatalf(format string, args ...any) {
	m.Errorf(format, args...)
	m.FailNow()
}

func (m *mainTB) cleanUp() {
	for i := len(m.cleanups) - 1; i >= 0; i-- {
		m.cleanups[i]()
	}
}

// fetchAll fetches the hashes with the tools' client and drops them.
func fetchAll(url string) error {
	c, err := bitcoin.Open(bitcoin.Options{URL: url}, func(string, ...any) {})
	if err != nil {
		return err
	}
	return c.BlockHashes(context.Background(), 0, chainHeights-1, func(int64, string) error { return nil })
}

// fetchBare posts the same batches over one connection and looks at nothing.
func fetchBare(url string) error {
	for first := int64(0); first < chainHeights; first += perRequest {
		body := make([]byte, 0, 100*perRequest)
		for height := first; height < first+perRequest; height++ {
			body = strconv.AppendInt(append(body, `,{"jsonrpc":"1.0","id":`...), height, 10)
			body = strconv.AppendInt(append(body, `,"method":"getblockhash","params":[`...), height, 10)
			body = append(body, "]}"...)
		}
		body[0] = '['
		resp, err := http.Post(url, "application/json", bytes.NewReader(append(body, ']')))
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		_ = resp.Body.Close()
	}
	return nil
}
