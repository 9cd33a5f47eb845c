package restore

// state is what a node would make of a part of the live data.
type state string

// The states. A part that is wrong may have valid content all the same.
const (
	nothing state = "nothing" // it is missing, or nothing in it is valid
	wrong   state = "wrong"
	sound   state = "sound"
)

// standing is the live part against the source that could replace it.
type standing struct {
	live state
	// has is set where the live part has valid content that the source lacks, lacks where it
	// lacks some that the source has.
	has, lacks bool
	// known is set where the two were compared. Without a comparison nothing is replaced but
	// by force.
	known bool
}

// decision is what becomes of a part.
type decision string

// The decisions.
const (
	replaced  decision = "replaced"
	leftAlone decision = "left-alone"
	refused   decision = "refused"
)

// decide is the decision, and its exit status. named reports whether somebody chose the source,
// force whether it is to be restored all the same.
func decide(s standing, named, force bool) (decision, int) {
	switch {
	case force, s.live == nothing:
		return replaced, 0
	case !s.known:
		return refused, 1
	case s.live == wrong && s.has:
		return refused, 2
	case s.live == wrong:
		return replaced, 0
	case !s.has && !s.lacks:
		return leftAlone, 0
	case s.has && s.lacks:
		return leftAlone, 2
	case s.has && named:
		return refused, 2
	case s.has:
		return leftAlone, 0
	case named:
		return replaced, 0
	}
	return leftAlone, 2
}
