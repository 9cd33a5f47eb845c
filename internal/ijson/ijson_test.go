package ijson_test

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/ijson"
)

// TestMarshal: integers beyond 2^53-1 become strings, whatever their type and wherever they are,
// and nothing else does.
func TestMarshal(t *testing.T) {
	huge, _ := new(big.Int).SetString("-2322442222433754886415", 10)
	for want, v := range map[string]any{
		`9007199254740991`:          uint64(ijson.MaxExact),
		`"9007199254740992"`:        uint64(ijson.MaxExact + 1),
		`"18446744073709551615"`:    uint64(math.MaxUint64),
		`-9007199254740991`:         int64(-ijson.MaxExact),
		`"-9007199254740992"`:       int64(-ijson.MaxExact - 1),
		`"-9223372036854775808"`:    int64(math.MinInt64),
		`"-2322442222433754886415"`: huge,
		`1234567890123456`:          1234567890123456,
		`0`:                         0,
		`0.12345678901234568`:       0.123456789012345678,
		`1e+300`:                    1e300,
		`"18446744073709551616"`:    "18446744073709551616",
		`["9007199254740993",1,"9007199254740994"]`: []int64{9007199254740993, 1, 9007199254740994},
		`{"a 9007199254740993":"x\" 9007199254740993 \\","b":{"c":"9007199254740993","d":null},"e":true}`: map[string]any{
			"a 9007199254740993": "x\" 9007199254740993 \\", "b": map[string]any{"c": uint64(9007199254740993), "d": nil}, "e": true},
		`{"9007199254740993":1}`: map[uint64]int{9007199254740993: 1},
		`"9007199254740995"`:     json.RawMessage("9007199254740995"),
		`"9007199254740996"`:     ijson.Number(9007199254740996),
	} {
		text, err := ijson.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, want, string(text))
		indented, err := ijson.MarshalIndent(v, "", "  ")
		require.NoError(t, err)
		require.JSONEq(t, want, string(indented))
	}
	_, err := ijson.Marshal(func() {})
	require.Error(t, err)
}

// TestNumber: a number is read in both forms.
func TestNumber(t *testing.T) {
	for text, want := range map[string]uint64{`0`: 0, `7`: 7, `"7"`: 7, `18446744073709551615`: math.MaxUint64, `"18446744073709551615"`: math.MaxUint64} {
		var n ijson.Number
		require.NoError(t, json.Unmarshal([]byte(text), &n), text)
		require.EqualValues(t, want, n)
	}
	for _, text := range []string{`-1`, `""`, `"x"`, `1.5`, `18446744073709551616`, `"`, `true`} {
		var n ijson.Number
		require.Error(t, json.Unmarshal([]byte(text), &n), text)
	}
}
