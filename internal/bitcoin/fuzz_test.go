package bitcoin

import (
	"regexp"
	"strconv"
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
		if len(hashes) != n*hashLength {
			t.Fatalf("%d bytes of hashes", len(hashes))
		}
		answers, err := decodeBatch(text, first, n)
		if err != nil {
			t.Fatalf("believed, but %v", err)
		}
		for i := range answers {
			got := string(hashes[i*hashLength:][:hashLength])
			if hash, err := answers[i].hash(); err != nil || hash != got {
				t.Fatalf("%s instead of %s, %v", got, hash, err)
			}
		}
	})
}

// TestCounter: across each number of digits.
func TestCounter(t *testing.T) {
	for _, first := range []uint64{0, 8, 98, 995, 1998, 999_998, 1<<64 - 1001} {
		c := newCounter(first)
		for i := range uint64(1000) {
			if want := strconv.FormatUint(first+i, 10); string(c) != want {
				t.Fatalf("%s instead of %s", c, want)
			}
			c.next()
		}
	}
}

// TestIsHash: as a regular expression says, for each byte at each place.
func TestIsHash(t *testing.T) {
	digits, zeros := regexp.MustCompile(`^[0-9a-f]{64}$`), regexp.MustCompile(`^0+$`)
	for _, rest := range []string{"0", "9", "a", "f", "5"} {
		for at := range hashLength {
			for b := range 256 {
				hash := []byte(strings.Repeat(rest, hashLength))
				hash[at] = byte(b)
				want := digits.Match(hash) && !zeros.Match(hash)
				if IsHash(hash) != want || (checkHash(string(hash)) == nil) != want {
					t.Fatalf("%q: not %t", hash, want)
				}
			}
		}
	}
}
