package fetchtest

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/barkeepdb/barkeep/series"
)

// hyperliquid is asked by POST, has the newest 5,000 bars, and gives the one
// that holds the start too.
func hyperliquid(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	var q struct {
		Type string
		Req  struct {
			Coin, Interval     string
			StartTime, EndTime int64
		}
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&q); err != nil || r.Method != http.MethodPost || q.Req.StartTime < 0 {
		reply(w, http.StatusUnprocessableEntity, "Failed to deserialize the JSON body into the target type")
		return
	}
	if q.Type == "exchangeStatus" {
		reply(w, 200, fmt.Sprintf(`{"specialStatuses":null,"time":%d}`, int64(m.Now())))
		return
	}
	i, err := series.ParseInterval(q.Req.Interval)
	if err != nil || q.Req.Coin != m.Symbol {
		reply(w, http.StatusInternalServerError, "null")
		return
	}
	g := series.Grid{Interval: i}
	c, first, end := m.bars(i, g.Time(g.SlotAt(series.Time(q.Req.StartTime))), series.Time(q.Req.EndTime)+1)
	_, _, newest := m.bars(i, never, forever)
	first = max(first, min(newest-5000, end))
	reply(w, 200, list(first, end, false, func(n int) string {
		return fmt.Sprintf(`{"t":%d,"T":%d,"s":%q,"i":%q,"o":"%s","c":"%s","h":"%s","l":"%s","v":"%s","n":%d}`,
			int64(c.Time[n]), int64(c.Time[n]+i.Width()-1), m.Symbol, i, num(c.Open[n]), num(c.Close[n]), num(c.High[n]), num(c.Low[n]), num(c.Volume[n]), trades(c, n))
	}))
}
