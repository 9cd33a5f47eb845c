package snapshot

import "strconv"

// PegStatus is the status of a peg-in or peg-out, as it is stored.
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
	PegEmergencyRecovery           // the federation is asked
)

var pegStatuses = [...]string{"INITIATED", "PENDING_BTC_CONF", "BTC_CONFIRMED", "MINTED", "BURN_INITIATED", "PENDING_PEGOUT", "COMPLETED", "FAILED", "EMERGENCY_RECOVERY"}

// Known reports whether it is one that nodes write.
func (s PegStatus) Known() bool { return s >= 0 && int(s) < len(pegStatuses) }

// String returns the status as nodes spell it, and one that they do not write by its
// number.
func (s PegStatus) String() string {
	if s.Known() {
		return pegStatuses[s]
	}
	return "status " + strconv.Itoa(int(s))
}

// Open reports whether the transfer is neither done nor failed. What a status means that
// nodes do not write is not known: such a transfer counts as open.
func (s PegStatus) Open() bool { return s != PegMinted && s != PegCompleted && s != PegFailed }
