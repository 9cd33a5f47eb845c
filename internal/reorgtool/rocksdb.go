package reorgtool

import "runtime/debug"

// releases maps versions of grocksdb to the RocksDB releases that they are made for.
var releases = map[string]string{"v1.7.14": "7.8", "v1.8.12": "8.9", "v1.9.8": "9.10"}

// RocksDB returns the release of RocksDB that this program is built for, such as "7.8", or
// "unknown" if the build information does not show it.
func RocksDB() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if release := releases[module.Version]; release != "" && module.Path == "github.com/linxGnu/grocksdb" {
				return release
			}
		}
	}
	return "unknown"
}
