package reorgverify

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatIsReadOddly distinguishes records that nodes read but never write from records that
// nodes cannot read, and from records that crash them.
func TestWhatIsReadOddly(t *testing.T) {
	type record struct{ key, value string }
	const event, sound = "1|o|n|5|0", "00000000000000000000"
	for _, test := range []struct {
		name    string
		records []record
		want    map[string]int
		wrong   int
		counter uint64
		recent  []uint64
		message string
	}{
		{name: "as nodes write them", records: []record{{"reorg:" + sound, event}, {"reorg_counter", "1"}}, want: map[string]int{}, counter: 1, recent: []uint64{0}},
		{name: "unpadded", records: []record{{"reorg:0", event}, {"reorg:1", event}, {"reorg_counter", "2"}},
			want: map[string]int{oddRecord: 2}, counter: 2, recent: []uint64{0, 1}},
		{name: "in another order", records: []record{{"reorg:\t2", event}, {"reorg: +1", event}, {"reorg:" + sound, event}, {"reorg_counter", "3"}},
			want: map[string]int{oddRecord: 2}, counter: 3, recent: []uint64{0, 1, 2}},
		{name: "one id twice", records: []record{{"reorg:" + sound, event}, {"reorg:0", event}, {"reorg_counter", "1"}},
			want: map[string]int{oddRecord: 1}, counter: 1, recent: []uint64{0, 0}},
		{name: "a newline after the counter", records: []record{{"reorg_counter", "0\n"}}, want: map[string]int{oddRecord: 1}, message: `reorg_counter is "0\n", which a node reads as 0`},
		{name: "a signed counter", records: []record{{"reorg:" + sound, event}, {"reorg_counter", " +1x"}}, want: map[string]int{oddRecord: 1}, counter: 1, recent: []uint64{0}},
		{name: "a padded counter", records: []record{{"reorg:" + sound, event}, {"reorg_counter", "01"}}, want: map[string]int{oddRecord: 1}, counter: 1, recent: []uint64{0}},
		{name: "no counter", records: []record{{"reorg_counter", "x"}}, want: map[string]int{badCounter: 1}, wrong: 1,
			message: `reorg_counter is "x": a node reads it as 0 and would overwrite the first events`},
		{name: "a counter out of range", records: []record{{"reorg_counter", "18446744073709551616"}}, want: map[string]int{badCounter: 1}, wrong: 1},
		{name: "no id", records: []record{{"reorg:x", event}}, want: map[string]int{oddKey: 1}, wrong: 1, message: `no node asks for the key "reorg:x"`},
		{name: "a counter that gives an id again", records: []record{{"reorg:0", event}, {"reorg_counter", "0"}}, want: map[string]int{oddRecord: 1, counterBehind: 1}, wrong: 1,
			recent: []uint64{0}, message: "reorg_counter is 0, but there is an event with id 0: a node would give that id to another event"},
		{name: "a counter that overwrites", records: []record{{"reorg:" + sound, event}, {"reorg_counter", "0"}}, want: map[string]int{counterBehind: 1}, wrong: 1,
			recent: []uint64{0}, message: "reorg_counter is 0, but there is an event with id 0: a node would overwrite it"},
		{name: "nothing is after the highest id", records: []record{{"reorg:-1", event}, {"reorg_counter", "0"}}, want: map[string]int{oddRecord: 1}, recent: []uint64{1<<64 - 1}},
		{name: "anchors are missing", records: []record{{"reorg:0", "1|o|n|5|3|A1"}, {"reorg_counter", "1"}}, want: map[string]int{oddRecord: 1, unreadable: 1}, wrong: 1, counter: 1,
			message: "reorg event 0: a node cannot read it: it announces 3 anchors and names 1"},
		{name: "the last anchor is missing", records: []record{{"reorg:" + sound, "1|o|n|5|2|A1"}, {"reorg_counter", "1"}}, want: map[string]int{shortEvent: 1}, wrong: 1, counter: 1, recent: []uint64{0}},
		{name: "more anchors than any process can hold", records: []record{{"reorg:" + sound, "1|o|n|5|-1|A1"}, {"reorg_counter", "1"}}, want: map[string]int{endsNode: 1}, wrong: 1, counter: 1,
			message: "reorg event 0: a node cannot read it: it crashes the node: it announces 18446744073709551615 anchors, more than any process can hold, and names 1"},
		{name: "the same under a key without an id", records: []record{{"reorg:x", "1|o|n|5|-1|A1"}}, want: map[string]int{oddKey: 1, endsNode: 1}, wrong: 2},
		{name: "a state root with a newline", records: []record{{"anchor:a", "a|t|1|1|1|0|1|ab\ncd"}}, want: map[string]int{oddRecord: 1},
			message: `record "anchor:a": its state root ends at a newline, and a node reads it as "ab"`},
		{name: "a state root that is a newline", records: []record{{"anchor:a", "a|t|1|1|1|0|1|\n"}}, want: map[string]int{oddRecord: 1}},
		{name: "no state root", records: []record{{"anchor:a", "a|t|1|1|1|0|1|"}}, want: map[string]int{unreadable: 1}, wrong: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSurvey(10, 0)
			for _, r := range test.records {
				s.record([]byte(r.key), []byte(r.value))
			}
			s.conclude()
			require.Equal(t, test.want, s.counts, "%v", s.found)
			require.Equal(t, test.wrong, s.problems, "%v", s.found)
			require.Equal(t, test.counter, s.counter)
			var recent []uint64
			for _, e := range s.recent {
				recent = append(recent, e.ID)
			}
			require.Equal(t, test.recent, recent)
			if test.message != "" {
				var messages []string
				for _, f := range s.found {
					messages = append(messages, f.Message)
				}
				require.Contains(t, messages, test.message)
			}
			if test.want[endsNode] > 0 {
				require.Contains(t, s.hint(Options{}), "leave the node stopped")
			}
		})
	}
}
