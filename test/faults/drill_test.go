package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/command/drill"
)

// TestDrillBroken: a drill that is killed at any call, with all its processes, or whose disk is full
// at any call, leaves a folder that the next drill takes over. Everything that it writes is new each
// time, so that there is nothing to compare.
func TestDrillBroken(t *testing.T) {
	if !*all {
		t.Skip("each try takes seconds: make faults")
	}
	inMemory(t)
	for _, way := range []struct {
		name, mode string
		fault      fault
	}{
		{"KILL", "crash", fault{kill: true}},
		{"KILL", "corruption", fault{kill: true}},
		{"ENOSPC", "corruption", fault{errno: unix.ENOSPC}},
	} {
		f, name := way.fault, way.name
		t.Run(way.mode+"/"+name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			command := []string{bin(drill.Name), "--mode", way.mode, "--data-dir", filepath.Join(root, "drill")}
			broken := func(k int) (n int, hit bool) {
				out, err := os.CreateTemp(t.TempDir(), "")
				require.NoError(t, err)
				defer out.Close()
				_, err = trace(t.Context(), command, os.Environ(), out, out, root, func(c call) fault {
					if !f.kill && !c.concerns(filling) {
						return fault{}
					}
					if n++; n != k {
						return fault{}
					}
					hit = true
					return f
				})
				require.NoError(t, err)
				return n, hit
			}
			n, _ := broken(-1)
			for _, k := range sample(n, 40) {
				if _, hit := broken(k); !hit {
					continue // its processes take turns: there were fewer calls this time
				}
				said, err := exec.Command(command[0], command[1:]...).CombinedOutput()
				require.NoError(t, err, "after %s at call %d: %s", name, k, said)
			}
		})
	}
}
