package statejson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
	"ailee-recovery/snapshot/statejson"
)

const golden = "../../testdata/golden/write/"

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// goldenStates returns the states that a node wrote, each in JSON.
func goldenStates(t testing.TB) []json.RawMessage {
	t.Helper()
	var states []json.RawMessage
	require.NoError(t, json.Unmarshal(read(t, golden+"node-written.json"), &states))
	require.Len(t, states, 4)
	return states
}

// toFile decodes a state and writes it with its anchor.
func toFile(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, anchor, err := statejson.Decode(context.Background(), r)
	require.NoError(t, err)
	text, err := b.Text(anchor)
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = text.WriteTo(&out)
	require.NoError(t, err)
	return out.Bytes()
}

// toJSON encodes the only snapshot of a file.
func toJSON(t testing.TB, file []byte) []byte {
	t.Helper()
	r, checker := bytes.NewReader(file), snapshot.NewChecker(nil)
	l, err := snapshot.Latest(r, r.Size())
	require.NoError(t, err)
	report, err := checker.Check(context.Background(), r, l)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, statejson.Encode(context.Background(), &out, checker, r, report))
	return out.Bytes()
}

// largest matches the only number of the golden states that is beyond 2^53-1.
var largest = regexp.MustCompile(`:\s*(18446744073709551615)\b`)

// TestGoldenRoundTrip: JSON to file, file to JSON, and that back to the file.
func TestGoldenRoundTrip(t *testing.T) {
	var all []byte
	for _, state := range goldenStates(t) {
		file := toFile(t, bytes.NewReader(state))
		encoded := toJSON(t, file)
		// The nodes' own form has numbers of any size.
		require.JSONEq(t, largest.ReplaceAllString(string(state), `:"$1"`), string(encoded))
		require.Equal(t, string(file), string(toFile(t, iotest.OneByteReader(bytes.NewReader(encoded)))))
		all = append(all, file...)
	}
	require.Equal(t, string(read(t, golden+"node-written.dat")), string(all))
}

// state is a valid state with a record of each kind.
const state = `{"snapshotTimestampMs": 7,
"ledger": {"balances": [{"peerId": "p", "balance": 1}], "escrows": [{"taskId": "t", "clientPeerId": "c", "amount": 2, "locked": true, "createdAt": 3}]},
"bridge": {"pegins": [{"pegId": "i", "btcTxId": "x", "vout": 4, "btcAmount": 5, "btcSource": "s", "aileeDest": "d", "confirmations": 6, "initiatedTime": 7, "completedTime": 8, "status": -9}],
"pegouts": [{"pegId": "o", "aileeSource": "a", "btcDest": "b", "aileeBurnAmount": 10, "btcReleaseAmount": 11, "initiatedTime": 12, "completedTime": 13, "status": 14, "anchorCommitmentHash": "h"}]},
"orchestration": {"tasks": [{"taskId": "k", "taskType": 15, "priority": 16, "submitterId": "u", "submittedAtMs": 17, "payloadHash": "y", "anchorCommitmentHash": "z"}]},
"anchor": {"l2StateRoot": "r", "timestampMs": 18, "recoveryMetadata": "m", "payload": "w", "hash": "v"}}`

func TestWhatIsAccepted(t *testing.T) {
	want := string(toFile(t, strings.NewReader(state)))
	for _, c := range []struct{ name, old, new, oldLine, newLine string }{
		{"the largest number", `"balance": 1`, `"balance": 18446744073709551615`, `balance "p" 1`, `balance "p" 18446744073709551615`},
		{"in a string", `"balance": 1`, `"balance": "18446744073709551615"`, `balance "p" 1`, `balance "p" 18446744073709551615`},
		{"a number beyond a float", `"createdAt": 3`, `"createdAt": 9007199254740993`, `1 3`, `1 9007199254740993`},
		{"the smallest status", `"status": -9`, `"status": "-2147483648"`, `-9 `, `-2147483648 `},
		{"escapes", `"peerId": "p"`, `"peer\u0049d": "\"\\\/\t\ud83d\ude00"`, `balance "p"`, `balance "\"\\/` + "\t😀\""},
		{"no anchor", `{"l2StateRoot": "r", "timestampMs": 18, "recoveryMetadata": "m", "payload": "w", "hash": "v"}`, `null`,
			`anchor "r" 18 "m" "w" "v"`, `anchor none`},
		{"a missing anchor", `,
"anchor": {"l2StateRoot": "r", "timestampMs": 18, "recoveryMetadata": "m", "payload": "w", "hash": "v"}`, ``,
			`anchor "r" 18 "m" "w" "v"`, `anchor none`},
		{"an empty section", `[{"peerId": "p", "balance": 1}]`, ` [ ] `, "balances 1\nbalance \"p\" 1\n", "balances 0\n"},
		{"another order", `{"taskId": "t", "clientPeerId": "c", "amount": 2, "locked": true, "createdAt": 3}`,
			`{"createdAt": 3, "locked": false, "taskId": "t", "amount": 2, "clientPeerId": "c"}`, `2 1 3`, `2 0 3`},
		{"white space", `{"snapshotTimestampMs": 7`, " \r\n\t{ \"snapshotTimestampMs\" : 7\n", "", ""},
	} {
		require.Equal(t, 1, strings.Count(state, c.old), c.name)
		require.Contains(t, want, c.oldLine, c.name)
		got := string(toFile(t, strings.NewReader(strings.Replace(state, c.old, c.new, 1))))
		require.Equal(t, strings.Replace(want, c.oldLine, c.newLine, 1), got, c.name)
	}
}

func TestErrorsNameThePath(t *testing.T) {
	tooLarge := "18446744073709551616"
	for _, c := range []struct{ old, new, path, message string }{
		// Wrong types.
		{state, ``, ``, `the state is empty`},
		{state, `[]`, ``, `expected an object, found an array`},
		{state, `7`, ``, `expected an object, found a number`},
		{`"ledger": {`, `"ledger": [], "x": {`, `ledger`, `expected an object, found an array`},
		{`"balances": [`, `"balances": null, "x": [`, `ledger.balances`, `expected an array, found null`},
		{`{"peerId": "p", "balance": 1}`, `{"peerId": "p", "balance": 1}, true`, `ledger.balances[1]`, `expected an object, found true`},
		{`"peerId": "p"`, `"peerId": 5`, `ledger.balances[0].peerId`, `expected a string, found a number`},
		{`"peerId": "p"`, `"peerId": null`, `ledger.balances[0].peerId`, `expected a string, found null`},
		{`"locked": true`, `"locked": 1`, `ledger.escrows[0].locked`, `expected true or false, found a number`},
		{`"locked": true`, `"locked": "true"`, `ledger.escrows[0].locked`, `expected true or false, found a string`},
		{`"vout": 4`, `"vout": {"a": 1}`, `bridge.pegins[0].vout`, `expected an integer, found an object`},
		{`"anchor": {`, `"anchor": "none", "x": {`, `anchor`, `expected an object, found a string`},
		{`"payload": "w"`, `"payload": 1`, `anchor.payload`, `expected a string, found a number`},
		// Numbers.
		{`"snapshotTimestampMs": 7`, `"snapshotTimestampMs": -7`, `snapshotTimestampMs`, `-7 is not an integer from 0 to 18446744073709551615`},
		{`"balance": 1`, `"balance": ` + tooLarge, `ledger.balances[0].balance`, tooLarge + ` is not an integer from 0 to 18446744073709551615`},
		{`"balance": 1`, `"balance": 1.5`, `ledger.balances[0].balance`, `1.5 is not an integer`},
		{`"balance": 1`, `"balance": 1e3`, `ledger.balances[0].balance`, `1e3 is not an integer`},
		{`"balance": 1`, `"balance": ""`, `ledger.balances[0].balance`, `"" is not an integer`},
		{`"balance": 1`, `"balance": " 1"`, `ledger.balances[0].balance`, `" 1" is not an integer`},
		{`"balance": 1`, `"balance": "+1"`, `ledger.balances[0].balance`, `"+1" is not an integer`},
		{`"balance": 1`, `"balance": "0x1"`, `ledger.balances[0].balance`, `"0x1" is not an integer`},
		{`"vout": 4`, `"vout": 4294967296`, `bridge.pegins[0].vout`, `4294967296 is not an integer from 0 to 4294967295`},
		{`"status": 14`, `"status": 2147483648`, `bridge.pegouts[0].status`, `2147483648 is not an integer from -2147483648 to 2147483647`},
		{`"priority": 16`, `"priority": "+16"`, `orchestration.tasks[0].priority`, `"+16" is not an integer`},
		// Fields.
		{`"anchor": {`, `"more": 1, "anchor": {`, `more`, `unknown field`},
		{`"balance": 1`, `"balance": 1, "Balance": 1`, `ledger.balances[0].Balance`, `unknown field`},
		{`"hash": "v"`, `"hash": "v", "x.y/z": 1`, `anchor.x.y/z`, `unknown field`},
		{`"balance": 1`, `"balance": 1, "peer\u0049d": "q"`, `ledger.balances[0].peerId`, `the field is there twice`},
		{`"bridge": {`, `"ledger": {}, "bridge": {`, `ledger`, `the field is there twice`},
		{`"anchor": {`, `"anchor": null, "anchor": {`, `anchor`, `the field is there twice`},
		{`, "balance": 1`, ``, `ledger.balances[0].balance`, `the field is missing`},
		{`"snapshotTimestampMs": 7,`, ``, `snapshotTimestampMs`, `the field is missing`},
		{`, "hash": "v"`, ``, `anchor.hash`, `the field is missing`},
		{`, "escrows": [{"taskId": "t", "clientPeerId": "c", "amount": 2, "locked": true, "createdAt": 3}]`, ``, `ledger.escrows`, `the field is missing`},
		{`"anchorCommitmentHash": "h"`, `"status": 1`, `bridge.pegouts[0].status`, `the field is there twice`},
		// Strings.
		{`"peerId": "p"`, `"peerId": "a\nb"`, `ledger.balances[0].peerId`, `the string holds a newline`},
		{`"recoveryMetadata": "m"`, `"recoveryMetadata": "\u000a"`, `anchor.recoveryMetadata`, `the string holds a newline`},
		{`"peerId": "p"`, "\"peerId\": \"a\nb\"", `ledger.balances[0].peerId`, `invalid character '\n' in string`},
		{`"peerId": "p"`, "\"peerId\": \"a\xffb\"", `ledger.balances[0].peerId`, `invalid UTF-8`},
		{`"peerId": "p"`, "\"peerId\": \"a\xed\xa0\x80b\"", `ledger.balances[0].peerId`, `invalid UTF-8`},
		{`"peerId": "p"`, `"peerId": "\ud800"`, `ledger.balances[0].peerId`, `invalid surrogate pair`},
		{`"peerId": "p"`, `"peerId": "\udc00x"`, `ledger.balances[0].peerId`, `invalid surrogate pair`},
		{`"peerId": "p"`, `"peerId": "\x"`, `ledger.balances[0].peerId`, `invalid escape sequence`},
		// Grammar.
		{`"hash": "v"}}`, `"hash": "v"}} x`, ``, `something follows the state`},
		{`"hash": "v"}}`, `"hash": "v"}}{}`, ``, `something follows the state`},
		{`"hash": "v"}}`, `"hash": "v"}`, ``, `the state ends too early`},
		{`1}], "escrows"`, `1}, ], "escrows"`, `ledger.balances`, `invalid character`},
		{`"amount": 2`, `"amount": 02`, `ledger.escrows[0]`, `invalid character`},
		{`"amount": 2`, `"amount": NaN`, `ledger.escrows[0].amount`, `invalid character`},
		{`"amount": 2`, `"amount": 2,`, `ledger.escrows[0]`, `invalid character`},
	} {
		t.Run(c.path+" "+c.message, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(state, c.old))
			text := strings.Replace(state, c.old, c.new, 1)
			_, _, err := statejson.Decode(context.Background(), strings.NewReader(text))
			var wrong *statejson.Error
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, c.path, wrong.Path)
			require.Contains(t, wrong.Error(), c.message)
			at := strings.Index(state, c.old)
			if c.new != "" {
				require.GreaterOrEqual(t, wrong.Offset, int64(at))
				require.LessOrEqual(t, wrong.Offset, int64(at+len(c.new)+1))
			}
		})
	}
}

// TestTheOffsetIsThatOfTheValue: whatever kind of value it is.
func TestTheOffsetIsThatOfTheValue(t *testing.T) {
	for _, value := range []string{`-1`, `[`, `{"a": 1}`, `null`, `false`, `"a\u0062"`} {
		text := strings.Replace(state, `"balance": 1`, `"balance":  `+value, 1)
		_, _, err := statejson.Decode(context.Background(), strings.NewReader(text))
		var wrong *statejson.Error
		require.ErrorAs(t, err, &wrong)
		require.EqualValues(t, strings.Index(text, `"balance": `)+len(`"balance":  `), wrong.Offset, value)
	}
}

// TestEveryCut: no part of a state is itself a state.
func TestEveryCut(t *testing.T) {
	for i := range state {
		_, _, err := statejson.Decode(context.Background(), strings.NewReader(state[:i]))
		var wrong *statejson.Error
		require.ErrorAs(t, err, &wrong, state[:i])
	}
}

func TestErrorsOfReading(t *testing.T) {
	_, _, err := statejson.Decode(context.Background(), io.MultiReader(strings.NewReader(state[:100]), iotest.ErrReader(os.ErrDeadlineExceeded)))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err = statejson.Decode(ctx, strings.NewReader(state))
	require.ErrorIs(t, err, context.Canceled)
}

// TestLongStrings: a string that never ends must not take all memory.
func TestLongStrings(t *testing.T) {
	text := func(n int64) io.Reader {
		before, after, _ := strings.Cut(state, `"peerId": "p`)
		return io.MultiReader(strings.NewReader(before+`"peerId": "`), io.LimitReader(endless('x'), n), strings.NewReader(after))
	}
	_, _, err := statejson.Decode(context.Background(), text(statejson.MaxString-1<<10))
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err = statejson.Decode(context.Background(), text(1<<40))
	runtime.ReadMemStats(&after)
	var wrong *statejson.Error
	require.ErrorAs(t, err, &wrong)
	require.ErrorContains(t, err, "a token or white space longer than 67108864 bytes")
	require.Less(t, wrong.Offset, int64(len(state)))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10*statejson.MaxString))
}

// TestLongWhiteSpace: it is not called a string.
func TestLongWhiteSpace(t *testing.T) {
	_, _, err := statejson.Decode(context.Background(), endless(' '))
	require.EqualError(t, err, "at byte 0: a token or white space longer than 67108864 bytes")
}

// endless never ends.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// FuzzDecode compares what is accepted with what encoding/json makes of it, and
// takes it through the file and back.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(state))
	f.Add([]byte(strings.NewReplacer(`"p"`, `"\ud83d\ude00\\\""`, `-9`, `-2147483648`, `: 5`, `: 18446744073709551615`).Replace(state)))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, anchor, err := statejson.Decode(context.Background(), bytes.NewReader(data))
		if err != nil {
			var wrong *statejson.Error
			require.True(t, errors.As(err, &wrong), "%v", err)
			require.LessOrEqual(t, wrong.Offset, int64(len(data)))
			return
		}
		text, err := b.Text(anchor)
		require.NoError(t, err)
		var file bytes.Buffer
		_, err = text.WriteTo(&file)
		require.NoError(t, err)
		var want snapshot.State
		if err := json.Unmarshal(data, &want); err == nil { // no number is a string
			var encoded bytes.Buffer
			require.NoError(t, snapshot.Encode(&encoded, &want))
			require.Equal(t, encoded.String(), file.String())
			report, err := snapshot.NewChecker(nil).Check(context.Background(), text, text.Located())
			require.NoError(t, err)
			require.Equal(t, snapshot.Root(&want), report.Root)
		}
		require.Equal(t, file.String(), string(toFile(t, bytes.NewReader(toJSON(t, file.Bytes())))))
	})
}
