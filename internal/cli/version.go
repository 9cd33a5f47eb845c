package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker.
var version, commit string

// Release returns the version alone.
func Release() string { return cmp.Or(version, "devel") }

// Version names the build: version, commit and Go version.
func Version() string {
	c := commit
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if c == "" {
		c = "unknown"
	}
	return fmt.Sprintf("%s (commit %s, %s)", Release(), c, runtime.Version())
}
