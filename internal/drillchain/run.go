package drillchain

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"ailee-recovery/internal/tool"
)

// Run serves the chain until the context or standard input ends.
func Run(ctx context.Context, o Options, out *tool.IO) error {
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return tool.Fail("name another address with --listen", err)
	}
	url := "http://" + listener.Addr().String()
	if out.JSON() {
		out.Document(map[string]any{"url": url, "exit_code": tool.OK})
	} else {
		out.Printf("%s\n", url)
	}
	server := &http.Server{Handler: o.Chain, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		ended := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, out.In)
			close(ended)
		}()
		select {
		case <-ctx.Done():
		case <-ended:
		}
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
