package snapshot

import (
	"bytes"
	"context"
	"os"
	"testing"
)

func BenchmarkSurvey(b *testing.B) {
	data, _ := os.ReadFile("/tmp/ten.dat")
	r := bytes.NewReader(data)
	l, _ := Latest(r, int64(len(data)))
	c := NewChecker(0)
	b.SetBytes(l.Size)
	for b.Loop() {
		sv := c.begin()
		sv.straight = false
		sv.run(context.Background(), r, l)
		c.hash.reset(sv.text)
	}
}
