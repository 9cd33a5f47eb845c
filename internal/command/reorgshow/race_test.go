package reorgshow_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/golden"
)

// TestChangedMeanwhile: damage that is seen once, while a node has the database open, may be a
// change by the node: nothing is called damaged, and the command can be run again.
func TestChangedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, golden.Unpack("node-rocksdb-7.8.3-reopened", dir))
	path := filepath.Join(dir, "node-rocksdb-7.8.3-reopened")
	lock, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	require.NoError(t, unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}))
	defer lock.Close()
	current := filepath.Join(path, "CURRENT")
	good := clitest.Read(t, current)

	var changing sync.WaitGroup
	ended := make(chan struct{})
	changing.Go(func() {
		for i := 0; ; i++ {
			text := []string{good, "damaged\n"}[i%2]
			if err := os.WriteFile(current+".new", []byte(text), 0o600); err != nil {
				t.Error(err)
				return
			}
			if err := os.Rename(current+".new", current); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	said := ""
	for range 1000 {
		out, _ := exec.Command(reorgshow.Name, "--db-path", path, "anchors").CombinedOutput()
		if strings.Contains(string(out), "changed the database") {
			said = string(out)
			break
		}
	}
	close(ended)
	changing.Wait()
	require.Contains(t, said, "ailee_reorg_show: error: "+path+": the node changed the database while it was being read\n"+
		"ailee_reorg_show: hint: run the command again, or stop the node first\n")
	require.NoError(t, os.WriteFile(current, []byte(good), 0o600))
	clitest.RunProcess(t, 0, reorgshow.Name, "--db-path", path, "anchors")
}
