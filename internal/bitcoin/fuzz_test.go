package bitcoin

import (
	"strings"
	"testing"
)

// FuzzScanHashes compares the fast reader of hashes with the JSON decoder: what it accepts, the
// decoder reads the same way.
func FuzzScanHashes(f *testing.F) {
	hash := strings.Repeat("0123456789abcdef", 4)
	one := `{"result":"` + hash + `","error":null,"id":10}`
	btcd := `{"jsonrpc":"1.0",` + one[1:]
	two := strings.Replace(one, "10}", "11}", 1)
	for _, seed := range []string{
		"[" + one + "]", "[" + one + "," + two + "]\n", "[" + btcd + "," + two + "]", "[" + one + "," + two + ",]", "[" + one + two + "]",
		"[" + one + "]]", "[" + one, "[]", "", "[" + strings.Replace(one, "10}", "10 }", 1) + "]", "[" + strings.Replace(one, "10}", "010}", 1) + "]",
		"[" + strings.Replace(one, "01", `\"`, 1) + "]", "[" + strings.Replace(one, "null", `{"code":1,"message":""}`, 1) + "]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		const first, n = 10, 2
		hashes, plain := scanHashes(text, first, n)
		if !plain {
			return
		}
		answers, err := decodeBatch(text, first, n)
		if err != nil {
			t.Fatalf("believed, but %v", err)
		}
		for i := range answers {
			if hash, err := answers[i].hash(); err != nil || hash != hashes[i] {
				t.Fatalf("%s instead of %s, %v", hashes[i], hash, err)
			}
		}
	})
}
