package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/barkeepdb/barkeep/storage"
)

// metrics are those of one server, in a registry of its own. No metric has a
// label per symbol: a store may hold tens of thousands.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	handler  http.Handler
}

func newMetrics(s catalog) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "barkeep_http_request_duration_seconds",
		Help:    "Time to answer, by route, method and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
	}, []string{"route", "method", "status"})}
	m.registry.MustRegister(m.requests, storeCollector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	return m
}

func (m *metrics) serve(c *gin.Context) { m.handler.ServeHTTP(c.Writer, c.Request) }

// observe counts a request under its route, never under its path: paths are
// written by strangers.
func (m *metrics) observe(c *gin.Context, took time.Duration) {
	route := c.FullPath()
	if route == "" {
		route = "none"
	}
	method := c.Request.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(c.Writer.Status())).Observe(took.Seconds())
}

// storeCollector reads the figures of the store when they are asked for.
type storeCollector struct{ store catalog }

// figures are the metrics of the store.
var figures = []figure{
	gauge("series", "Series in the store.", func(s storage.Stats) float64 { return float64(s.Series) }),
	gauge("bars", "Bars in the store.", func(s storage.Stats) float64 { return float64(s.Bars) }),
	gauge("blocks", "Encoded blocks of bars.", func(s storage.Stats) float64 { return float64(s.Blocks) }),
	gauge("block_bytes", "Bytes of encoded blocks.", func(s storage.Stats) float64 { return float64(s.BlockBytes) }),
	gauge("pending_blocks", "Blocks with late rows that wait to be folded in.", func(s storage.Stats) float64 { return float64(s.Pending) }),
	counter("changes_total", "Changes since the store was made.", func(s storage.Stats) float64 { return float64(s.Changes) }),
	gauge("decoded_cache_bytes", "Bytes of decoded blocks held in memory.", func(s storage.Stats) float64 { return float64(s.DecodedBytes) }),
	counter("decoded_cache_hits_total", "Blocks found decoded.", func(s storage.Stats) float64 { return float64(s.DecodedHits) }),
	counter("decoded_cache_misses_total", "Blocks that had to be decoded.", func(s storage.Stats) float64 { return float64(s.DecodedMisses) }),
	gauge("engine_disk_bytes", "Bytes of the files of the engine.", func(s storage.Stats) float64 { return float64(s.Engine.DiskBytes) }),
	counter("engine_cache_hits_total", "Reads answered by the cache of the engine.", func(s storage.Stats) float64 { return float64(s.Engine.CacheHits) }),
	counter("engine_cache_misses_total", "Reads that went to the disk.", func(s storage.Stats) float64 { return float64(s.Engine.CacheMisses) }),
	gauge("engine_memtable_bytes", "Bytes not yet in sorted files.", func(s storage.Stats) float64 { return float64(s.Engine.Memtables) }),
	counter("engine_compactions_total", "Compactions done.", func(s storage.Stats) float64 { return float64(s.Engine.Compactions) }),
	gauge("engine_compaction_debt_bytes", "Bytes still to be compacted.", func(s storage.Stats) float64 { return float64(s.Engine.CompactionDebt) }),
	gauge("engine_wal_bytes", "Bytes of write-ahead log.", func(s storage.Stats) float64 { return float64(s.Engine.WALBytes) }),
	counter("engine_background_errors_total", "Errors of the engine in the background.", func(s storage.Stats) float64 { return float64(s.Engine.BackgroundErrors) }),
	counter("engine_corruptions_total", "Damaged files that the engine met.", func(s storage.Stats) float64 { return float64(s.Engine.CorruptFiles) }),
}

type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(storage.Stats) float64
}

func gauge(name, help string, of func(storage.Stats) float64) figure {
	return figure{prometheus.NewDesc("barkeep_store_"+name, help, nil, nil), prometheus.GaugeValue, of}
}

func counter(name, help string, of func(storage.Stats) float64) figure {
	return figure{prometheus.NewDesc("barkeep_store_"+name, help, nil, nil), prometheus.CounterValue, of}
}

// Describe names every metric of the store.
func (storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range figures {
		ch <- f.desc
	}
}

// Collect reads every metric of the store.
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	stats := c.store.Stats()
	for _, f := range figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(stats))
	}
}
