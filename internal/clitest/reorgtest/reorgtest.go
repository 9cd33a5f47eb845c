// Package reorgtest is what the tests of commands with a reorg database share, in addition to
// clitest, which does not link RocksDB: a running node, and the contents of a database.
package reorgtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/reorgdb"
)

// Programs has the stand-in for a running node.
var Programs = clitest.Programs{NodeName: node}

// Scripts is [clitest.Scripts] with commands for databases.
func Scripts(t *testing.T) {
	clitest.Scripts(t, clitest.Commands{"running": running, "put": put})
}

// Records returns every record of every column family of a database, by FAMILY/KEY.
func Records(t *testing.T, path string) map[string]string {
	t.Helper()
	db, err := reorgdb.OpenReadOnly(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	all := map[string]string{}
	for _, family := range db.Families() {
		for r, err := range db.Records(t.Context(), family) {
			require.NoError(t, err)
			all[family+"/"+string(r.Key)] = string(r.Value)
		}
	}
	return all
}
