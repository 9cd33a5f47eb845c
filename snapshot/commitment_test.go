package snapshot_test

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/snapshot"
)

// TestAnchorsAreTheNodes compares anchors and scripts with those that the nodes' own code
// made from the same input.
func TestAnchorsAreTheNodes(t *testing.T) {
	var vectors []struct {
		L2StateRoot       string `json:"l2StateRoot"`
		TimestampMs       uint64 `json:"timestampMs,string"`
		RecoveryMetadata  string `json:"recoveryMetadata"`
		Payload           string `json:"payload"`
		Hash              string `json:"hash"`
		OpReturnScript    string `json:"opReturnScript"`
		TapscriptFragment string `json:"tapscriptFragment"`
	}
	require.NoError(t, json.Unmarshal(read(t, golden+"/anchor/vectors.json"), &vectors))
	require.Len(t, vectors, 54)
	for _, v := range vectors {
		a := snapshot.NewAnchor(v.L2StateRoot, v.TimestampMs, v.RecoveryMetadata)
		require.Equal(t, v.Payload, a.Payload)
		require.Equal(t, v.Hash, a.Hash)
		require.True(t, a.Bound())
		commitment := snapshot.Commitment(a.Payload)
		require.LessOrEqual(t, len(commitment), 80)
		require.Equal(t, v.OpReturnScript, hex.EncodeToString(snapshot.OpReturnScript(commitment)))
		require.Equal(t, v.TapscriptFragment, hex.EncodeToString(snapshot.TapscriptFragment(commitment)))
	}
}
