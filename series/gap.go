package series

// Gap is a run of slots without a bar, all in one state.
type Gap struct {
	Run
	State State
	// Note is the number, from 1, of the note that says more than the state, in
	// the answer that the gap is part of; 0 is none. A scan may return hundreds
	// of thousands of gaps: they hold no pointers.
	Note int32
}
