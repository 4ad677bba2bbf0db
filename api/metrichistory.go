package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	dto "github.com/prometheus/client_model/go"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// kept is a metric whose history is kept.
type kept struct {
	name string
	// rate keeps the increase per second of a counter in place of its value.
	rate bool
	// most keeps the largest of its labels in place of their sum.
	most bool
}

// keptMetrics are the metrics that a dashboard draws over time.
var keptMetrics = []kept{
	{name: "barkeep_store_series"},
	{name: "barkeep_store_bars"},
	{name: "barkeep_store_engine_disk_bytes"},
	{name: "barkeep_store_changes_total", rate: true},
	{name: "barkeep_disk_free_bytes"},
	{name: "barkeep_data_score_ratio"},
	{name: "barkeep_data_worst_score_ratio"},
	{name: "barkeep_data_completeness_ratio"},
	{name: "barkeep_data_missing_bars"},
	{name: "barkeep_data_gaps"},
	{name: "barkeep_data_quarantined_bars"},
	{name: "barkeep_endpoint_available"},
	{name: "barkeep_endpoint_requests_total", rate: true},
	{name: "barkeep_endpoint_errors_total", rate: true},
	{name: "barkeep_endpoint_latency_p95_seconds", most: true},
	{name: "barkeep_alerts"},
	{name: "barkeep_alert_notices_waiting"},
	{name: "barkeep_http_request_duration_seconds", rate: true},
	{name: "process_cpu_seconds_total", rate: true},
	{name: "process_resident_memory_bytes"},
	{name: "go_goroutines"},
}

// step is one resolution of the history: coarser ones reach further back.
type step struct {
	kind  string
	width series.Time // of a point, in milliseconds
	reach series.Time // how far back points are kept
}

// The resolutions take 2,880, 2,976 and 2,928 points at most.
var steps = [...]step{
	{"metric/1m", series.Minute, 2 * series.Day},
	{"metric/15m", 15 * series.Minute, 31 * series.Day},
	{"metric/6h", 6 * series.Hour, 732 * series.Day},
}

// HistoryStep is how often KeepMetrics is to be called.
const HistoryStep = time.Minute

// MetricPoint are the metrics of one step of time. Those that had no value are
// absent.
type MetricPoint struct {
	Time   series.Time        `json:"time"` // where the step begins
	Values map[string]float64 `json:"values"`
	// Max are the largest values within the step, where it sums up finer ones.
	Max map[string]float64 `json:"max,omitempty"`
}

// MetricHistory is the answer of GET /v1/metrics/history.
type MetricHistory struct {
	StepSeconds int64         `json:"step_s"`
	Points      []MetricPoint `json:"points"`
}

// counted is the last value of each counter, to make rates of.
type counted struct {
	at     series.Time
	values map[string]float64
}

func pointName(t series.Time) string { return fmt.Sprintf("%015d", int64(t)) }

// KeepMetrics writes the metrics of now into the history, sums up what has come
// to an end, and drops what is too old. One caller at a time.
func (s *Server) KeepMetrics(ctx context.Context) error {
	now := series.TimeOf(s.now())
	families, err := s.metrics.registry.Gather()
	if err != nil {
		return err
	}
	p := MetricPoint{Time: now - now%steps[0].width, Values: map[string]float64{}}
	next := counted{now, map[string]float64{}}
	for _, k := range keptMetrics {
		for _, f := range families {
			if f.GetName() != k.name {
				continue
			}
			v := familyValue(f, k.most)
			if k.rate {
				next.values[k.name] = v
				before, ok := s.counted.values[k.name]
				if !ok || v < before || now <= s.counted.at {
					break // the first look, or counters that began anew
				}
				v = (v - before) * 1000 / float64(now-s.counted.at)
			}
			p.Values[k.name] = v
			break
		}
	}
	s.counted = next
	r, err := pointRecord(steps[0].kind, p)
	if err != nil {
		return err
	}
	if err := s.store.PutRecords(ctx, []storage.Record{r}); err != nil {
		return err
	}
	return s.rollUp(ctx, now)
}

// familyValue is one number for all labels of a metric; of a histogram it is
// the number of observations.
func familyValue(f *dto.MetricFamily, most bool) float64 {
	sum, top := 0.0, math.Inf(-1)
	for _, m := range f.GetMetric() {
		v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		if f.GetName() == "barkeep_alerts" && isLabel(m, "state", "pending") {
			continue
		}
		sum += v
		top = max(top, v)
	}
	if most {
		return top
	}
	return sum
}

func isLabel(m *dto.Metric, name, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == name && l.GetValue() == value {
			return true
		}
	}
	return false
}

func pointRecord(kind string, p MetricPoint) (storage.Record, error) {
	for _, m := range []map[string]float64{p.Values, p.Max} {
		for name, v := range m {
			if math.IsNaN(v) || math.IsInf(v, 0) { // JSON has no form for them
				delete(m, name)
			}
		}
	}
	v, err := json.Marshal(p)
	return storage.Record{Kind: kind, Name: pointName(p.Time), Value: v}, err
}

// rollUp makes coarser points of finer ones whose time is over, and removes
// what is too old. Each resolution is a commit, since the next is made of it.
func (s *Server) rollUp(ctx context.Context, now series.Time) error {
	for i, st := range steps {
		rs, err := s.outdated(ctx, st, now)
		if err != nil {
			return err
		}
		to := now - now%st.width
		if i > 0 && s.rolled[i] < to {
			made, err := s.coarser(ctx, steps[i-1], st, now)
			if err != nil {
				return err
			}
			rs = append(rs, made...)
		}
		if err := s.store.PutRecords(ctx, rs); err != nil {
			return err
		}
		s.rolled[i] = to
	}
	return nil
}

func (s *Server) outdated(ctx context.Context, st step, now series.Time) (rs []storage.Record, err error) {
	for r, err := range s.store.Records(ctx, st.kind, "") {
		if err != nil {
			return nil, err
		}
		if r.Name >= pointName(max(0, now-st.reach)) {
			break
		}
		rs = append(rs, storage.Record{Kind: st.kind, Name: r.Name})
	}
	return rs, nil
}

// coarser sums up the finer points behind the last coarse one, also those of
// before a restart.
func (s *Server) coarser(ctx context.Context, fine, coarse step, now series.Time) (rs []storage.Record, err error) {
	from := max(0, now-fine.reach)
	have, err := s.points(ctx, coarse.kind, from-from%coarse.width, now)
	if err != nil {
		return nil, err
	}
	if len(have) > 0 {
		from = have[len(have)-1].Time + coarse.width
	}
	points, err := s.points(ctx, fine.kind, from, now-now%coarse.width)
	for len(points) > 0 && err == nil {
		at := points[0].Time - points[0].Time%coarse.width
		n := 0
		for n < len(points) && points[n].Time < at+coarse.width {
			n++
		}
		var r storage.Record
		r, err = pointRecord(coarse.kind, sumUp(at, points[:n]))
		rs, points = append(rs, r), points[n:]
	}
	return rs, err
}

// sumUp is the mean and the maximum of points.
func sumUp(at series.Time, points []MetricPoint) MetricPoint {
	out := MetricPoint{Time: at, Values: map[string]float64{}, Max: map[string]float64{}}
	n := map[string]float64{}
	for _, p := range points {
		for name, v := range p.Values {
			top := v
			if x, ok := p.Max[name]; ok {
				top = x
			}
			if n[name] == 0 || top > out.Max[name] {
				out.Max[name] = top
			}
			n[name]++
			out.Values[name] += (v - out.Values[name]) / n[name]
		}
	}
	return out
}

// points reads those of [from, to).
func (s *Server) points(ctx context.Context, kind string, from, to series.Time) ([]MetricPoint, error) {
	out := []MetricPoint{}
	for r, err := range s.store.Records(ctx, kind, pointName(max(from, 0))) {
		if err != nil {
			return nil, err
		}
		if at, err := strconv.ParseInt(r.Name, 10, 64); err != nil || series.Time(at) >= to {
			break
		}
		var p MetricPoint
		if err := json.Unmarshal(r.Value, &p); err != nil {
			return nil, fmt.Errorf("%s %s: %w", kind, r.Name, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// getMetricHistory answers with the finest resolution that reaches back to from.
func (s *Server) getMetricHistory(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	now := series.TimeOf(s.now())
	from, to := now-series.Day, now+1
	if t := p.time("from"); t != nil {
		from = *t
	}
	if t := p.time("to"); t != nil {
		to = *t
	}
	var names []string
	if text := p.text("metric"); text != "" {
		names = strings.Split(text, ",")
	}
	for _, name := range names {
		if !isKept(name) {
			p.fail("metric", "of %q no history is kept: docs/http.md lists the metrics", name)
		}
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	st := steps[len(steps)-1]
	for _, x := range steps {
		if from >= now-x.reach {
			st = x
			break
		}
	}
	points, err := s.points(c, st.kind, from, to)
	if err != nil {
		fail(c, err)
		return
	}
	for i := range points {
		points[i].Values, points[i].Max = only(points[i].Values, names), only(points[i].Max, names)
	}
	c.PureJSON(http.StatusOK, MetricHistory{int64(st.width / series.Second), points})
}

func isKept(name string) bool {
	for _, k := range keptMetrics {
		if k.name == name {
			return true
		}
	}
	return false
}

// only is the part of m with these names; none is all of it.
func only(m map[string]float64, names []string) map[string]float64 {
	if len(names) == 0 || m == nil {
		return m
	}
	out := map[string]float64{}
	for _, n := range names {
		if v, ok := m[n]; ok {
			out[n] = v
		}
	}
	return out
}
