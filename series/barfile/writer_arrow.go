package barfile

import (
	"fmt"
	"io"
)

func newArrowWriter(w io.Writer, o WriteOptions) (Writer, error) { return nil, fmt.Errorf("format %s is not written yet", o.Format) }
func newLeanWriter(w io.Writer, o WriteOptions) (Writer, error)  { return nil, fmt.Errorf("format %s is not written yet", o.Format) }
