package block

import (
	"errors"
	"strconv"
)

// ErrCorrupt is what every error about damaged or hostile bytes matches with
// errors.Is. The error itself is a *CorruptError.
var ErrCorrupt = errors.New("block: corrupt")

// ErrVersion is what the error about a block of an unknown format version
// matches with errors.Is, beside ErrCorrupt: the bytes may be sound and only
// too new for this program.
var ErrVersion = errors.New("block: unknown format version")

// ErrShape is what every error of Encoder.Encode matches with errors.Is: the
// columns do not describe a block (no rows, too many rows, unequal lengths,
// slots out of order). No value of a column is ever refused.
var ErrShape = errors.New("block: invalid shape")

// CorruptError says where and why a block cannot be decoded.
type CorruptError struct {
	// Offset is the position in the block's bytes at which the damage was
	// noticed, which is not always the position of the damage.
	Offset int
	// Reason is a short lower-case sentence.
	Reason string

	version bool
}

// Error implements error.
func (e *CorruptError) Error() string {
	return "block: corrupt at byte " + strconv.Itoa(e.Offset) + ": " + e.Reason
}

// Is reports whether target is ErrCorrupt, or ErrVersion where that is the
// reason.
func (e *CorruptError) Is(target error) bool {
	return target == ErrCorrupt || (e.version && target == ErrVersion)
}

func corrupt(off int, reason string) *CorruptError {
	return &CorruptError{Offset: off, Reason: reason}
}
