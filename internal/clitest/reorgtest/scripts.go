package reorgtest

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"ailee-recovery/reorgdb"
)

// running DB starts a node on a database; it ends with the script.
func running(ts *testscript.TestScript, _ bool, args []string) {
	stop, err := StartNode(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { _ = stop() })
}

// put DB KEY VALUE writes a record to a database. A missing database is created.
func put(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	open := reorgdb.Open
	if _, err := os.Stat(path); err != nil {
		open = func(path string) (*reorgdb.DB, error) { return reorgdb.Create(path) }
	}
	db, err := open(path)
	ts.Check(err)
	ts.Check(db.Update(func(u *reorgdb.Update) error {
		return u.Put(reorgdb.DefaultFamily, []byte(args[1]), []byte(args[2]))
	}))
	ts.Check(db.Close())
}
