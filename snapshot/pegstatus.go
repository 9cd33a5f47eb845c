package snapshot

import "strconv"

// PegStatus is the status of a peg-in or peg-out, as stored.
type PegStatus int32

// The statuses that nodes write.
const (
	PegInitiated         PegStatus = iota
	PegPendingBtcConf              // a peg-in waits for Bitcoin's confirmations
	PegBtcConfirmed                // a peg-in has them
	PegMinted                      // a peg-in is done
	PegBurnInitiated               // a peg-out begins
	PegPendingPegOut               // a peg-out waits for the federation's signatures
	PegCompleted                   // a peg-out is done
	PegFailed                      // neither was done, nor will be
	PegEmergencyRecovery           // the federation has to decide
)

var pegStatuses = [...]string{"INITIATED", "PENDING_BTC_CONF", "BTC_CONFIRMED", "MINTED", "BURN_INITIATED", "PENDING_PEGOUT", "COMPLETED", "FAILED", "EMERGENCY_RECOVERY"}

// Known reports whether nodes write this status.
func (s PegStatus) Known() bool { return s >= 0 && int(s) < len(pegStatuses) }

// String returns the status as nodes spell it, or its number if nodes do not write it.
func (s PegStatus) String() string {
	if s.Known() {
		return pegStatuses[s]
	}
	return "status " + strconv.Itoa(int(s))
}

// Open reports whether the transfer is neither done nor failed. The meaning of a status that
// nodes do not write is unknown, so such a transfer counts as open.
func (s PegStatus) Open() bool { return s != PegMinted && s != PegCompleted && s != PegFailed }
