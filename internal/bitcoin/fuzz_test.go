package bitcoin

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// FuzzScanHashes holds the fast reader of hashes against the JSON decoder: what
// it believes, the decoder reads the same way.
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
		all, plain := scanHashes(text, 4)
		if !plain {
			return
		}
		for _, a := range all {
			_, err := strconv.ParseUint(string(a.ID), 10, 64)
			if _, hashErr := a.hash(); err != nil || hashErr != nil || a.ID[0] == '0' {
				return
			}
		}
		var decoded []answer
		if err := decode(text, &decoded); err != nil {
			t.Fatalf("believed, but %v", err)
		}
		if got, want := fmt.Sprintf("%q", all), fmt.Sprintf("%q", decoded); got != want {
			t.Fatalf("%s instead of %s", got, want)
		}
	})
}
