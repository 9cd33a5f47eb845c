package bitcoin

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ailee-recovery/internal/exit"
)

// credentials say where the user and password of a request come from.
type credentials struct {
	login  login  // for a cookie file, as first read
	cookie string // a file that the node writes each time it starts, "" for none
	source string // for hints
}

// login is a user and its password; the zero value is no login.
type login struct{ user, password string }

// notYet is the hint for a missing cookie file.
const notYet = "the node writes the file when it starts: check the path, and that the node is running"

const howToLogIn = "give a cookie file with --rpc-cookie-file, or set BITCOIN_RPC_USER and BITCOIN_RPC_PASSWORD"

// findCredentials takes the credentials from the first source that has any.
func findCredentials(o Options, u *url.URL) (credentials, error) {
	switch {
	case u.User != nil:
		password, _ := u.User.Password()
		if u.User.Username() == "" || password == "" {
			return credentials{}, exit.Failf(howToLogIn, "the Bitcoin RPC URL names a user or a password, but not both")
		}
		return credentials{login: login{u.User.Username(), password}, source: "in the URL"}, nil
	case o.CookieFile != "":
		c := credentials{cookie: o.CookieFile, source: "in " + o.CookieFile}
		var err error
		// A node that is starting has not written it yet: the calls wait for it.
		if c.login, err = c.current(); err != nil && (o.Wait == 0 || !errors.Is(err, fs.ErrNotExist)) {
			return c, exit.Fail(notYet, err) // the file of --rpc-cookie-file cannot be read, or is not a cookie file
		}
		return c, nil
	case o.User != "" || o.Password != "" || o.PasswordFile != "":
		password, err := o.password()
		if err == nil && (o.User == "" || password == "") {
			err = errors.New("BITCOIN_RPC_USER and BITCOIN_RPC_PASSWORD or BITCOIN_RPC_PASSWORD_FILE must be set together")
		}
		if err != nil {
			return credentials{}, exit.Fail("", err)
		}
		return credentials{login: login{o.User, password}, source: "from BITCOIN_RPC_USER"}, nil
	case isLoopback(u.Hostname()):
		c := credentials{cookie: defaultCookie(u.Port())}
		if found, err := c.current(); err == nil && found != (login{}) {
			c.login, c.source = found, "in "+c.cookie
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return c, exit.Fail("run it as the node's user, or "+howToLogIn, err) // the cookie file of the node on this machine cannot be read
		}
		return c, nil
	}
	return credentials{}, nil
}

func (o Options) password() (string, error) {
	if o.Password != "" {
		return o.Password, nil
	}
	if o.PasswordFile == "" {
		return "", nil
	}
	text, err := readSmall(o.PasswordFile)
	return strings.TrimRight(string(text), "\r\n"), err
}

// current returns the login for the next request. It reads a cookie file each time: a node
// that has restarted has written a new one.
func (c credentials) current() (login, error) {
	if c.cookie == "" {
		return c.login, nil
	}
	text, err := readSmall(c.cookie)
	if errors.Is(err, fs.ErrPermission) && c.login != (login{}) {
		return c.login, nil // read as root, before changing to another user
	}
	if err != nil {
		return login{}, err
	}
	user, password, ok := strings.Cut(strings.TrimRight(string(text), "\r\n"), ":")
	if !ok || user == "" || password == "" {
		return login{}, fmt.Errorf("%s is not a cookie file of a Bitcoin node", c.cookie)
	}
	return login{user, password}, nil
}

// smallFile is larger than any password, cookie or certificate bundle, in bytes.
const smallFile = 1 << 20

// readSmall reads a file or a pipe. It does not wait for a pipe without a writer, but takes
// it as empty. An endless device is an error.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, smallFile+1))
	if err == nil && len(text) > smallFile {
		err = fmt.Errorf("%s has more than %d bytes: it is not a file of that kind", path, smallFile)
	}
	return text, err
}

// defaultCookie returns where a local Bitcoin Core that listens on the port writes its
// cookie. Each network has its own port and folder.
func defaultCookie(port string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	network := map[string]string{"18332": "testnet3", "48332": "testnet4", "38332": "signet", "18443": "regtest"}[port]
	return filepath.Join(home, ".bitcoin", network, ".cookie")
}

// isLoopback reports whether what is sent to the host stays on this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
