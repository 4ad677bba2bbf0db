package series

// Gap is a run of slots without a bar, all in one state.
type Gap struct {
	Run
	State State
	// Reason says more than the state, for a person; it may be empty.
	Reason string
}
