package snapshot

// State is one snapshot with all its records in memory, in file order. The JSON
// field names are those of the node's own structures (docs/formats.md).
//
// Strings are bytes: NUL and invalid UTF-8 are allowed in the file, but not in
// JSON.
type State struct {
	TimestampMs   uint64        `json:"snapshotTimestampMs"`
	Ledger        Ledger        `json:"ledger"`
	Bridge        Bridge        `json:"bridge"`
	Orchestration Orchestration `json:"orchestration"`
	Anchor        *Anchor       `json:"anchor"` // nil if the snapshot has none
}

// Ledger holds the balances and escrows.
type Ledger struct {
	Balances []Balance `json:"balances"`
	Escrows  []Escrow  `json:"escrows"`
}

// Bridge holds the transfers between Bitcoin and layer 2.
type Bridge struct {
	PegIns  []PegIn  `json:"pegins"`
	PegOuts []PegOut `json:"pegouts"`
}

// Orchestration holds the tasks.
type Orchestration struct {
	Tasks []Task `json:"tasks"`
}

// Balance is a peer's balance in the smallest unit.
type Balance struct {
	PeerID  string `json:"peerId"`
	Balance uint64 `json:"balance"`
}

// Escrow is an amount set aside for a task.
type Escrow struct {
	TaskID       string `json:"taskId"`
	ClientPeerID string `json:"clientPeerId"`
	Amount       uint64 `json:"amount"`
	Locked       bool   `json:"locked"`
	CreatedAt    uint64 `json:"createdAt"`
}

// PegIn is a transfer from Bitcoin.
type PegIn struct {
	PegID         string `json:"pegId"`
	BtcTxID       string `json:"btcTxId"`
	Vout          uint32 `json:"vout"`
	BtcAmount     uint64 `json:"btcAmount"`
	BtcSource     string `json:"btcSource"`
	AileeDest     string `json:"aileeDest"`
	Confirmations uint64 `json:"confirmations"`
	InitiatedTime uint64 `json:"initiatedTime"`
	CompletedTime uint64 `json:"completedTime"`
	Status        int32  `json:"status"`
}

// PegOut is a transfer to Bitcoin.
type PegOut struct {
	PegID                string `json:"pegId"`
	AileeSource          string `json:"aileeSource"`
	BtcDest              string `json:"btcDest"`
	AileeBurnAmount      uint64 `json:"aileeBurnAmount"`
	BtcReleaseAmount     uint64 `json:"btcReleaseAmount"`
	InitiatedTime        uint64 `json:"initiatedTime"`
	CompletedTime        uint64 `json:"completedTime"`
	Status               int32  `json:"status"`
	AnchorCommitmentHash string `json:"anchorCommitmentHash"`
}

// Task is a unit of orchestrated work.
type Task struct {
	TaskID               string `json:"taskId"`
	TaskType             int32  `json:"taskType"`
	Priority             int32  `json:"priority"`
	SubmitterID          string `json:"submitterId"`
	SubmittedAtMs        uint64 `json:"submittedAtMs"` // Unix milliseconds
	PayloadHash          string `json:"payloadHash"`
	AnchorCommitmentHash string `json:"anchorCommitmentHash"`
}

// Anchor commits Bitcoin to a state root.
type Anchor struct {
	L2StateRoot      string `json:"l2StateRoot"`
	TimestampMs      uint64 `json:"timestampMs"` // Unix milliseconds
	RecoveryMetadata string `json:"recoveryMetadata"`
	Payload          string `json:"payload"`
	Hash             string `json:"hash"` // SHA-256 of Payload, hex: the anchor's key in the reorg database
}
