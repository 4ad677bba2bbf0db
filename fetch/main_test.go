package fetch_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long makes the tests that are a matter of size as large as the promise is.
var long = flag.Bool("long", false, "backfill whole years")
