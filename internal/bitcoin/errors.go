package bitcoin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/exit"
)

// ErrBadAnswer says that no Bitcoin node gives such an answer: it is not JSON-RPC, it is too
// long, or a value cannot be right.
var ErrBadAnswer = errors.New("not an answer from a Bitcoin node")

// ErrOutcomeUnknown says that the node may have carried out a request, or may still do so.
var ErrOutcomeUnknown = errors.New("the outcome is unknown")

var (
	errTimeout   = errors.New("no complete answer within the timeout")
	errTruncated = errors.New("the answer is incomplete")
	errNoSocket  = errors.New("the socket through which this process calls the node cannot be opened")
)

// StatusError is an HTTP status other than 200, without an error from the node itself. The
// body is left out, since it may repeat the request.
type StatusError struct {
	Code    int  // HTTP status
	passing bool // worth retrying
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("HTTP status %d %s", e.Code, http.StatusText(e.Code))
}

// passing reports whether an error may go away by itself.
func passing(err error) bool {
	var rpc *btcjson.RPCError
	var status *StatusError
	var dns *net.DNSError
	switch {
	case errors.As(err, &rpc):
		return rpc.Code == btcjson.ErrRPCInWarmup
	case errors.As(err, &status):
		return status.passing
	case errors.Is(err, ErrBadAnswer):
		return false
	case errors.As(err, &dns):
		return dns.IsTemporary || dns.IsTimeout
	}
	return lostConnection(err) || is(err, errTimeout, errTruncated, fs.ErrNotExist)
}

// lostConnection reports whether there was no connection, or it ended.
func lostConnection(err error) bool {
	return closed(err) || is(err, syscall.ECONNREFUSED, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH)
}

// closed reports whether the other side ended the connection.
func closed(err error) bool {
	return is(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE)
}

// is reports whether an error is one of several.
func is(err error, any ...error) bool {
	return slices.ContainsFunc(any, func(e error) bool { return errors.Is(err, e) })
}

// ofBitcoin reports whether a code is in the range that Bitcoin nodes use for their own errors.
func ofBitcoin(code btcjson.RPCErrorCode) bool { return -100 < code && code < 0 }

// ofNode reports whether a code comes only from nodes, and only if they did nothing. Proxies
// use -32000 to -32099, -32603, 0 and HTTP statuses, even if they do not know what the node
// did.
func ofNode(code btcjson.RPCErrorCode) bool {
	switch code {
	case btcjson.ErrRPCInvalidRequest.Code, btcjson.ErrRPCMethodNotFound.Code, btcjson.ErrRPCInvalidParams.Code, btcjson.ErrRPCParse.Code:
		return true
	}
	return ofBitcoin(code)
}

// refused reports whether the node, or a proxy in front of it, definitely refused.
func refused(err error) bool {
	var rpc *btcjson.RPCError
	var status *StatusError
	if errors.As(err, &status) {
		// The other statuses come from a proxy that gave up on the node, or a server that failed
		// midway.
		return status.Code < http.StatusInternalServerError || status.passing &&
			status.Code != http.StatusBadGateway && status.Code != http.StatusGatewayTimeout
	}
	return errors.As(err, &rpc) && ofNode(rpc.Code)
}

// explain adds to an error where it comes from, and a hint.
func (c *Client) explain(what string, err error) error {
	return exit.Fail(c.hint(err), fmt.Errorf("%s: %s: %w", c.name, what, err))
}

func (c *Client) hint(err error) string {
	const wrongURL = "check the host, port and path of --bitcoin-rpc"
	var rpc *btcjson.RPCError
	var status *StatusError
	var cert *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var dns *net.DNSError
	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		return "find out whether the node did it before doing it again"
	case errors.As(err, &rpc) && rpc.Code == btcjson.ErrRPCInWarmup: // error -28: the node is starting
		return "the node is starting: wait, or wait longer with --rpc-wait"
	case errors.As(err, &rpc):
		return ""
	case errors.As(err, &status):
		switch {
		case status.Code == http.StatusUnauthorized && c.credentials.source == "": // HTTP status 401 Unauthorized, without credentials
			return "no credentials were found: " + howToLogIn
		case status.Code == http.StatusUnauthorized: // HTTP status 401 Unauthorized, with credentials
			return "the node refuses the credentials " + c.credentials.source + ": check that they belong to this node, which reads rpcauth and rpcuser when it starts"
		case status.passing: // HTTP status 429 or 503
			return "the node is busy: wait longer with --rpc-wait, or raise its rpcworkqueue"
		case status.Code == http.StatusForbidden: // HTTP status 403 Forbidden
			return "allow this machine and the method on the node: rpcallowip, rpcwhitelist"
		case status.Code >= http.StatusInternalServerError: // HTTP status 500 and above
			return "check the node's log"
		}
		return wrongURL
	case is(err, syscall.EMFILE, syscall.ENFILE):
		return "too many files are open: raise the limit of the process (ulimit -n) or of the machine"
	case errors.Is(err, errNoSocket):
		return "allow the process to use Unix sockets: AF_UNIX in RestrictAddressFamilies= of its systemd unit"
	case errors.Is(err, errTimeout):
		return "the node is slow or stuck: check its log, or raise BITCOIN_RPC_TIMEOUT"
	case errors.Is(err, fs.ErrNotExist):
		return notYet
	case closed(err): // EOF; connection reset by peer; broken pipe
		return "the other side closes the connection: allow this machine on the node (rpcallowip), and check that both sides use http or both use https"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start the node with its RPC server on (server=1), or check --bitcoin-rpc"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired: // x509: certificate has expired or is not yet valid
		return "the certificate has expired or is not yet valid: renew it, or set this machine's clock"
	case errors.As(err, &host): // x509: certificate is valid for another name
		return "the certificate is for another name: use that name in --bitcoin-rpc"
	case errors.As(err, &cert), errors.As(err, &authority): // x509: certificate signed by unknown authority
		return "name the file with the certificate to trust: --rpc-ca-cert FILE"
	case errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, ErrBadAnswer), errors.As(err, &dns): // not an answer from a Bitcoin node; no such host; an HTTP answer to https
		return wrongURL
	}
	return ""
}

// withoutURL removes the request from an error, since it repeats the URL.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// timedOut replaces the error of a request that took too long.
func timedOut(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errTimeout) {
		return cause
	}
	return err
}
