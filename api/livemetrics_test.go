package api

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/barkeepdb/barkeep/api/alert"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

type alertRecords struct{ *storage.Store }

func (x alertRecords) PutRecords(ctx context.Context, rs []alert.Record) error {
	var out []storage.Record
	for _, r := range rs {
		out = append(out, storage.Record(r))
	}
	return x.Store.PutRecords(ctx, out)
}

func (x alertRecords) Records(ctx context.Context, kind, from string) iter.Seq2[alert.Record, error] {
	return func(yield func(alert.Record, error) bool) {
		for r, err := range x.Store.Records(ctx, kind, from) {
			if !yield(alert.Record(r), err) {
				return
			}
		}
	}
}

type fixedEndpoints []EndpointHealth

func (f fixedEndpoints) Health() []EndpointHealth { return f }

func (fixedEndpoints) Test(context.Context, EndpointTest) ([]EndpointResult, error) { return nil, nil }

type fixedComponents []Component

func (f fixedComponents) Components() []Component { return f }

func (f fixedComponents) Restart([]string) ([]Component, error) { return f, nil }

// liveFamilies are the metrics of a server with some of everything. Two
// endpoints share a name, which must not spoil the answer.
func liveFamilies(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	store, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // in memory: nothing to lose
	at := series.Time(1709251200000)
	engine := alert.New(alert.Options{Store: alertRecords{store}, Now: func() series.Time { return at }, Rules: []alert.Rule{{ID: "disk_full", Type: alert.Capacity, Severity: alert.Critical}}})
	if err := engine.Evaluate(t.Context(), []alert.Condition{{Rule: "disk_full", Subject: "/data"}}); err != nil {
		t.Fatal(err)
	}
	paused := at
	srv := New(Options{
		Store: store, Alerts: engine, Now: at.Std,
		Endpoints: fixedEndpoints{
			{Name: "a", Provider: "binance", Breaker: "closed", Requests: 10, ErrorKinds: map[string]int64{"timeout": 2}, P95: 250},
			{Name: "b", Provider: "kraken", Breaker: "open"},
			{Name: "b", Provider: "kraken", Breaker: "closed"},
			{Name: "c", Provider: "okx", Breaker: "closed", PausedUntil: &paused},
		},
		Components: fixedComponents{{Name: "healer", State: "running"}, {Name: "prober", State: "waiting", Failures: 3}},
	})
	if _, err := srv.DataHealth(t.Context()); err != nil {
		t.Fatal(err)
	}
	families, err := srv.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "barkeep_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range families {
		out[f.GetName()] = f
	}
	return out
}

func TestLiveMetrics(t *testing.T) {
	families := liveFamilies(t)
	value := func(name string, labels ...string) (v float64) {
		t.Helper()
		found := 0
		for _, m := range families[name].GetMetric() {
			match := true
			for i := 0; i < len(labels); i += 2 {
				match = match && isLabel(m, labels[i], labels[i+1])
			}
			if match {
				v = m.GetGauge().GetValue() + m.GetCounter().GetValue()
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s%v is there %d times", name, labels, found)
		}
		return v
	}
	for _, x := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"barkeep_endpoint_available", []string{"endpoint", "a"}, 1},
		{"barkeep_endpoint_available", []string{"endpoint", "b"}, 0},
		{"barkeep_endpoint_available", []string{"endpoint", "c"}, 0},
		{"barkeep_endpoint_requests_total", []string{"endpoint", "a"}, 10},
		{"barkeep_endpoint_errors_total", []string{"endpoint", "a", "kind", "timeout"}, 2},
		{"barkeep_endpoint_latency_p95_seconds", []string{"endpoint", "a"}, .25},
		{"barkeep_alerts", []string{"state", "firing", "severity", "critical"}, 1},
		{"barkeep_alerts", []string{"state", "firing", "severity", "warning"}, 0},
		{"barkeep_component_up", []string{"component", "prober"}, 0},
		{"barkeep_component_failures_total", []string{"component", "prober"}, 3},
		{"barkeep_data_look_timestamp_seconds", nil, 1709251200},
	} {
		if got := value(x.name, x.labels...); got != x.want {
			t.Errorf("%s%v is %v, not %v", x.name, x.labels, got, x.want)
		}
	}
}

// TestGrafana: the dashboard asks for metrics that there are.
func TestGrafana(t *testing.T) {
	text, err := os.ReadFile("../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range figures {
		have[descName(f.desc.String())] = true
	}
	for _, desc := range liveDescs() {
		have[descName(desc.String())] = true
	}
	have["barkeep_http_request_duration_seconds_bucket"] = true
	have["barkeep_http_request_duration_seconds_count"] = true
	name := regexp.MustCompile(`barkeep_\w+`)
	asked := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, n := range name.FindAllString(target.Expr, -1) {
				asked++
				if !have[n] {
					t.Errorf("panel %q asks for %s, which there is not", p.Title, n)
				}
			}
		}
	}
	if asked < 20 {
		t.Errorf("the dashboard asks for %d metrics only", asked)
	}
	docs, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keptMetrics {
		if !strings.Contains(string(docs), "`"+k.name+"`") {
			t.Errorf("docs/http.md does not say that the history has %s", k.name)
		}
		if strings.HasPrefix(k.name, "barkeep_") && !have[k.name] && k.name != "barkeep_http_request_duration_seconds" {
			t.Errorf("of %s a history is kept, but there is no such metric", k.name)
		}
	}
}

// descName is the name within the text of a description, which has no other way
// to tell it.
func descName(text string) string {
	_, rest, _ := strings.Cut(text, `fqName: "`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}
