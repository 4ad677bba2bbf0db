package fetch_test

import (
	"testing"
	"testing/synctest"

	"github.com/barkeepdb/barkeep/fetch"
)

func TestBars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &server{name: "a.test"})
		p := w.pool(fetch.Options{}, newVendor(nil), "a.test")
		n, r, err := collect(t, p, askFor(lastMinutes(5000)))
		if err != nil || n != 5000 || len(r.Unanswered)+len(r.Silent)+len(r.Empty)+len(r.Conflicts)+len(r.Refused) != 0 {
			t.Errorf("%d bars, report %+v, error %v", n, r, err)
		}
		if len(r.Spoken) != 1 || r.Spoken[0] != r.Asked || r.Pages != 11 || r.Attempts != r.Pages || r.Used["a.test"] != 5000 {
			t.Errorf("report %+v", r)
		}
	})
}
