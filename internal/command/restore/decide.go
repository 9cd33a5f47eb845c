package restore

// state is what a node would make of a part of the live data.
type state string

// The states. A part that is wrong may still have valid content.
const (
	nothing state = "nothing" // it is missing, or nothing in it is valid
	wrong   state = "wrong"
	sound   state = "sound"
)

// standing is how the live part compares with the source that could replace it.
type standing struct {
	live state
	// has: the live part has valid content that the source lacks. lacks: the source has valid
	// content that the live part lacks.
	has, lacks bool
	// known: the live part could be read, and so be compared. Otherwise it is replaced only by
	// force.
	known bool
}

// decision is what is done with a part.
type decision string

// The decisions.
const (
	replaced  decision = "replaced"
	leftAlone decision = "left-alone"
	refused   decision = "refused"
)

// decide returns the decision and its exit status. named: the user named the source. force:
// restore in any case.
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
