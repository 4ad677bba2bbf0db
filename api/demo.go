package api

import (
	"math"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// sampleKey is the series that an empty store can be given to look around in.
var sampleKey = series.Key{Symbol: "DEMO", Interval: series.Interval1m}

// sample is what POST /v1/demo wrote.
type sample struct {
	Symbol   string          `json:"symbol"`
	Interval series.Interval `json:"interval"`
	Bars     int             `json:"bars"`
}

// postDemo writes two days of invented minutes with two holes and a bad tick,
// from the source demo, if there are no series yet.
func (s *Server) postDemo(c *gin.Context) {
	infos, err := s.o.Store.Series()
	if err != nil {
		fail(c, err)
		return
	}
	if len(infos) > 0 {
		fail(c, &Error{http.StatusConflict, "not_empty", "there are series already: the sample is for empty stores", ""})
		return
	}
	bars := sampleBars(series.TimeOf(time.Now()))
	if _, err := s.o.Store.Write(c, sampleKey, bars, storage.WriteOptions{Source: "demo"}); err != nil {
		fail(c, err)
		return
	}
	detail(c, "%d bars of %s", bars.Len(), sampleKey)
	c.PureJSON(http.StatusCreated, sample{sampleKey.Symbol, sampleKey.Interval, bars.Len()})
}

// sampleBars are two days of minutes before now. Their prices are a function of
// the minute: nobody can take them for real ones.
func sampleBars(now series.Time) *series.Columns {
	const n = 2 * 24 * 60
	end := now / series.Minute * series.Minute
	c := &series.Columns{}
	price := func(i int) float64 {
		x := float64(i)
		return math.Round(100*(100+8*math.Sin(x/300)+math.Sin(x/17)+0.4*math.Sin(x*1.7))) / 100
	}
	for i := range n {
		switch {
		case i >= 900 && i < 990, i >= 2000 && i < 2004: // a hole of an hour and a half, and a short one
			continue
		}
		o, cl := price(i), price(i+1)
		h, l := math.Round(100*(max(o, cl)+0.15))/100, math.Round(100*(min(o, cl)-0.15))/100
		if i == 1500 { // a tick in another unit
			h = math.Round(100*o*10) / 100
		}
		c.Append(series.NewBar(end-series.Time(n-i)*series.Minute, o, h, l, cl, float64(10+i%7)))
	}
	return c
}
