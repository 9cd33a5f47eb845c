package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker.
var version, commit string

// Version names the build: version, commit and Go version.
func Version() string {
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" {
		v = "devel"
	}
	if c == "" {
		c = "unknown"
	}
	return fmt.Sprintf("%s (commit %s, %s)", v, c, runtime.Version())
}
