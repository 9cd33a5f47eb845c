package flags

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
	urfave "github.com/urfave/cli/v2"
)

const maxUnpacked = "max-unpacked"

// MoreUnpacked is the hint for a source that unpacks to more than is allowed.
const MoreUnpacked = "allow more with --" + maxUnpacked

// MaxUnpacked is the flag that bounds what each compressed source may unpack to.
func MaxUnpacked() urfave.Flag {
	return &urfave.StringFlag{Name: maxUnpacked, Usage: "let a compressed SOURCE unpack to at most `SIZE`", Value: "64 GiB"}
}

// ParseMaxUnpacked reads the flag of [MaxUnpacked], in bytes.
func ParseMaxUnpacked(c *urfave.Context) (int64, error) { return parseSize(c, maxUnpacked) }

// parseSize reads a flag whose value is a size, in bytes.
func parseSize(c *urfave.Context, name string) (int64, error) {
	size, err := humanize.ParseBytes(c.String(name))
	if err != nil || size == 0 || size > math.MaxInt64 {
		return 0, fmt.Errorf("--%s %q is not a size such as 512MiB", name, c.String(name))
	}
	return int64(size), nil
}
