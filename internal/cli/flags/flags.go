// Package flags has the flags that several tools share: one name for one meaning.
package flags

import (
	"math"
	"runtime/debug"

	"github.com/dustin/go-humanize"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/snapshot"
)

// Names of the shared flags.
const (
	maxMemory            = "max-memory"
	acceptEarlierAnchors = "accept-earlier-anchors"
)

// MaxMemory is the flag that bounds the memory for sorting a section.
func MaxMemory() urfave.Flag {
	return &urfave.StringFlag{
		Name:    maxMemory,
		Usage:   "limit the memory for sorting a section to `SIZE`; a single line may use 1/16 of it",
		Value:   humanize.IBytes(snapshot.DefaultMaxMemory),
		EnvVars: []string{"AILEE_MAX_MEMORY"},
	}
}

// AcceptEarlierAnchors is the flag that accepts peg-outs that name an anchor of an earlier
// snapshot of the same file.
func AcceptEarlierAnchors() urfave.Flag {
	return &urfave.BoolFlag{
		Name:  acceptEarlierAnchors,
		Usage: "accept a peg-out that names the anchor of an earlier snapshot of the same file whose own root and anchor hold",
	}
}

// Checking has the values of the flags that a check takes.
type Checking struct {
	MaxMemory            int64 // bytes
	AcceptEarlierAnchors bool
}

// buffers is what the tools need on top of the memory for sorting, in bytes.
const buffers = 8 << 20

// Memory returns the memory limit that the checkers of a run share. It also makes the garbage
// collector keep the whole process close to that limit.
func (c Checking) Memory() *snapshot.Memory {
	if c.MaxMemory < math.MaxInt64-buffers {
		debug.SetMemoryLimit(c.MaxMemory + buffers)
	}
	return snapshot.NewMemory(c.MaxMemory)
}

// ParseChecking reads the flags of [MaxMemory] and [AcceptEarlierAnchors].
func ParseChecking(c *urfave.Context) (Checking, error) {
	size, err := parseSize(c, maxMemory)
	if err != nil {
		return Checking{}, err
	}
	return Checking{MaxMemory: size, AcceptEarlierAnchors: c.Bool(acceptEarlierAnchors)}, nil
}
