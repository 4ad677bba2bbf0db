package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barkeepdb/barkeep/api/alert"
)

// collectTimeout bounds what a scrape may ask of the store.
const collectTimeout = 5 * time.Second

// liveCollector reads how the data, the endpoints, the healer and the alerts
// fare when it is asked. What would take long is as old as the last look at the
// data. Labels are names of the configuration and of components, which are few.
type liveCollector struct{ s *Server }

// live describes a metric of liveCollector.
type live struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func liveMetric(kind prometheus.ValueType, name, help string, labels ...string) live {
	return live{prometheus.NewDesc("barkeep_"+name, help, labels, nil), kind}
}

var (
	liveScore        = liveMetric(prometheus.GaugeValue, "data_score_ratio", "Mean score of the series by expected slots, as last looked at.")
	liveWorst        = liveMetric(prometheus.GaugeValue, "data_worst_score_ratio", "Lowest score of a series, as last looked at.")
	liveCompleteness = liveMetric(prometheus.GaugeValue, "data_completeness_ratio", "Share of the slots with an open market that are known, as last looked at.")
	liveMissing      = liveMetric(prometheus.GaugeValue, "data_missing_bars", "Bars that are missing, as last looked at.")
	liveGaps         = liveMetric(prometheus.GaugeValue, "data_gaps", "Gaps, as last looked at.")
	liveQuarantined  = liveMetric(prometheus.GaugeValue, "data_quarantined_bars", "Bars in quarantine, as last looked at.")
	liveSlots        = liveMetric(prometheus.GaugeValue, "data_slots", "Slots of all series by state, as last looked at.", "state")
	liveLooked       = liveMetric(prometheus.GaugeValue, "data_look_timestamp_seconds", "When the data was last looked at, in Unix time.")

	liveAvailable = liveMetric(prometheus.GaugeValue, "endpoint_available", "Whether an endpoint may be asked: its breaker is not open and nothing pauses it.", "endpoint", "provider")
	liveAsked     = liveMetric(prometheus.CounterValue, "endpoint_requests_total", "Requests to an endpoint.", "endpoint", "provider")
	liveErrors    = liveMetric(prometheus.CounterValue, "endpoint_errors_total", "Requests to an endpoint that failed, by kind.", "endpoint", "provider", "kind")
	liveBars      = liveMetric(prometheus.CounterValue, "endpoint_bars_total", "Bars that an endpoint gave.", "endpoint", "provider")
	liveLatency   = liveMetric(prometheus.GaugeValue, "endpoint_latency_p95_seconds", "Latency that 95 of 100 of the last requests kept.", "endpoint", "provider")

	liveRepairs = liveMetric(prometheus.GaugeValue, "heal_repairs", "Repairs that are known, by status.", "status")
	liveWritten = liveMetric(prometheus.GaugeValue, "heal_written_bars", "Bars that the known repairs wrote.")
	liveFilled  = liveMetric(prometheus.GaugeValue, "heal_filled_bars", "Bars that the known repairs filled.")

	liveAlerts  = liveMetric(prometheus.GaugeValue, "alerts", "Alerts, by state and severity.", "state", "severity")
	liveWaiting = liveMetric(prometheus.GaugeValue, "alert_notices_waiting", "Notices that wait to be sent.")
	liveDead    = liveMetric(prometheus.GaugeValue, "alert_notices_dead", "Notices that were given up.")

	liveUp       = liveMetric(prometheus.GaugeValue, "component_up", "Whether a component works.", "component")
	liveFailures = liveMetric(prometheus.CounterValue, "component_failures_total", "Errors and panics of a component.", "component")
)

func liveDescs() (out []*prometheus.Desc) {
	for _, l := range []live{
		liveScore, liveWorst, liveCompleteness, liveMissing, liveGaps, liveQuarantined, liveSlots, liveLooked,
		liveAvailable, liveAsked, liveErrors, liveBars, liveLatency,
		liveRepairs, liveWritten, liveFilled, liveAlerts, liveWaiting, liveDead, liveUp, liveFailures,
	} {
		out = append(out, l.desc)
	}
	return out
}

// Describe names every metric.
func (liveCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range liveDescs() {
		ch <- d
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Collect reads every metric. What cannot be read is left out, so that a store
// in trouble still shows the rest.
func (c liveCollector) Collect(ch chan<- prometheus.Metric) {
	give := func(l live, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(l.desc, l.kind, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	c.data(give)
	c.endpoints(give)
	c.healing(ctx, give)
	c.alerts(ctx, give)
	seen := map[string]bool{}
	for _, x := range c.s.componentList() {
		if !seen[x.Name] {
			seen[x.Name] = true
			give(liveUp, truth(x.State == "running"), x.Name)
			give(liveFailures, float64(x.Failures), x.Name)
		}
	}
}

func (c liveCollector) data(give func(live, float64, ...string)) {
	d := c.s.looked.Load()
	if d == nil {
		return
	}
	for l, v := range map[live]*float64{liveScore: d.Totals.Score, liveWorst: d.Totals.WorstScore, liveCompleteness: d.Totals.Completeness} {
		if v != nil {
			give(l, *v)
		}
	}
	give(liveMissing, float64(d.Totals.Missing))
	give(liveGaps, float64(d.Totals.Gaps))
	give(liveQuarantined, float64(d.Totals.Quarantined))
	for state, n := range d.Totals.States {
		give(liveSlots, float64(n), state)
	}
	give(liveLooked, float64(d.At)/1000)
}

func (c liveCollector) endpoints(give func(live, float64, ...string)) {
	seen := map[string]bool{}
	for _, e := range c.s.endpointList() {
		if seen[e.Name] { // two of one name would spoil the whole answer
			continue
		}
		seen[e.Name] = true
		give(liveAvailable, truth(e.Breaker != "open" && e.PausedUntil == nil), e.Name, e.Provider)
		give(liveAsked, float64(e.Requests), e.Name, e.Provider)
		give(liveBars, float64(e.Bars), e.Name, e.Provider)
		give(liveLatency, e.P95/1000, e.Name, e.Provider)
		for _, kind := range slices.Sorted(maps.Keys(e.ErrorKinds)) {
			give(liveErrors, float64(e.ErrorKinds[kind]), e.Name, e.Provider, kind)
		}
	}
}

func (c liveCollector) healing(ctx context.Context, give func(live, float64, ...string)) {
	if c.s.o.Healer == nil {
		return
	}
	all, err := c.s.o.Healer.Repairs(ctx)
	if err != nil {
		return
	}
	status := map[string]int{}
	var written, filled int64
	for i := range all {
		status[string(all[i].Status)]++
		written += all[i].Written
		filled += all[i].Filled
	}
	for name, n := range status {
		give(liveRepairs, float64(n), name)
	}
	give(liveWritten, float64(written))
	give(liveFilled, float64(filled))
}

func (c liveCollector) alerts(ctx context.Context, give func(live, float64, ...string)) {
	if c.s.o.Alerts == nil {
		return
	}
	all, err := c.s.o.Alerts.Active(ctx)
	if err != nil {
		return
	}
	n := map[[2]string]int{}
	for _, state := range []alert.State{alert.Pending, alert.Firing, alert.Acknowledged, alert.Silenced} {
		for _, severity := range []alert.Severity{alert.Warning, alert.Critical} {
			n[[2]string{string(state), string(severity)}] = 0 // a 0 that is there can be compared
		}
	}
	for _, a := range all {
		n[[2]string{string(a.State), string(a.Severity)}]++
	}
	for k, v := range n {
		give(liveAlerts, float64(v), k[0], k[1])
	}
	if waiting, dead, err := c.s.o.Alerts.Waiting(ctx); err == nil {
		give(liveWaiting, float64(waiting))
		give(liveDead, float64(dead))
	}
}
