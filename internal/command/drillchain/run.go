package drillchain

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/workers"
)

// Run serves the chain until the context or standard input ends.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return exit.Fail("name another address with --listen", err)
	}
	url := "http://" + listener.Addr().String()
	if out.JSON() {
		out.Document(map[string]any{"url": url, "exit_code": exit.OK})
	} else {
		out.Printf("%s\n", url)
	}
	server := &http.Server{Handler: o.Chain, ReadHeaderTimeout: 10 * time.Second}
	ended := workers.Start(func() error {
		_, err := io.Copy(io.Discard, out.In)
		return err
	})
	served := workers.Start(func() error { return server.Serve(listener) })
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	case <-ended:
	}
	return server.Close()
}
