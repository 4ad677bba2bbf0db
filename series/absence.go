package series

// Absence is a run of slots without bars that a source or a person vouches for,
// and the reason for it.
type Absence struct {
	Run
	State State
	Note  Note
}

// Note says more of an absence than its state. Notes can be compared; the zero
// note says nothing. Times are 0 where there is none.
type Note struct {
	Reason   string // for a person
	Attempts int32  // how often sources were asked for the bars
	First    Time   // when they were asked first
	Last     Time   // when they were asked last
	Next     Time   // they are not asked again before; 0 is any time
	Fill     string // how bars are invented while reading; only with StateSynthetic
}
