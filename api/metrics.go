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

func newMetrics(s vitals) *metrics {
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
type storeCollector struct{ store vitals }

// vital is what the figures are taken from.
type vital struct {
	storage.Stats
	storage.Health
}

// figures are the metrics of the store.
var figures = []figure{
	gauge("store_series", "Series in the store.", func(s vital) float64 { return float64(s.Series) }),
	gauge("store_bars", "Bars in the store.", func(s vital) float64 { return float64(s.Bars) }),
	gauge("store_blocks", "Encoded blocks of bars.", func(s vital) float64 { return float64(s.Blocks) }),
	gauge("store_block_bytes", "Bytes of encoded blocks.", func(s vital) float64 { return float64(s.BlockBytes) }),
	gauge("store_pending_blocks", "Blocks with late rows that wait to be folded in.", func(s vital) float64 { return float64(s.Pending) }),
	gauge("store_commit_seq", "Number of the last commit.", func(s vital) float64 { return float64(s.Root.Seq) }),
	gauge("store_commit_timestamp_seconds", "When the last commit was made, in Unix time.", func(s vital) float64 { return float64(s.Root.At) / 1000 }),
	gauge("store_journal_entries", "Entries of the journal.", func(s vital) float64 { return float64(s.Root.Entries) }),
	counter("store_changes_total", "Changes since the store was made.", func(s vital) float64 { return float64(s.Changes) }),
	gauge("store_decoded_cache_bytes", "Bytes of decoded blocks held in memory.", func(s vital) float64 { return float64(s.DecodedBytes) }),
	counter("store_decoded_cache_hits_total", "Blocks found decoded.", func(s vital) float64 { return float64(s.DecodedHits) }),
	counter("store_decoded_cache_misses_total", "Blocks that had to be decoded.", func(s vital) float64 { return float64(s.DecodedMisses) }),
	gauge("store_engine_disk_bytes", "Bytes of the files of the engine.", func(s vital) float64 { return float64(s.Engine.DiskBytes) }),
	counter("store_engine_cache_hits_total", "Reads answered by the cache of the engine.", func(s vital) float64 { return float64(s.Engine.CacheHits) }),
	counter("store_engine_cache_misses_total", "Reads that went to the disk.", func(s vital) float64 { return float64(s.Engine.CacheMisses) }),
	gauge("store_engine_memtable_bytes", "Bytes not yet in sorted files.", func(s vital) float64 { return float64(s.Engine.Memtables) }),
	counter("store_engine_compactions_total", "Compactions done.", func(s vital) float64 { return float64(s.Engine.Compactions) }),
	gauge("store_engine_compaction_debt_bytes", "Bytes still to be compacted.", func(s vital) float64 { return float64(s.Engine.CompactionDebt) }),
	gauge("store_engine_wal_bytes", "Bytes of write-ahead log.", func(s vital) float64 { return float64(s.Engine.WALBytes) }),
	counter("store_engine_background_errors_total", "Errors of the engine in the background.", func(s vital) float64 { return float64(s.Engine.BackgroundErrors) }),
	counter("store_engine_corruptions_total", "Damaged files that the engine met.", func(s vital) float64 { return float64(s.Engine.CorruptFiles) }),

	counter("store_damages_total", "Losses found since the store was made.", func(s vital) float64 { return float64(s.Stats.Damages) }),
	counter("store_scrub_passes_total", "Passes of the scrubber over the whole store.", func(s vital) float64 { return float64(s.Scrub.Passes) }),
	counter("store_scrubbed_bytes_total", "Bytes of blocks that the scrubber read.", func(s vital) float64 { return float64(s.Scrub.Bytes) }),
	counter("store_scrub_damaged_blocks_total", "Damaged blocks that the scrubber found.", func(s vital) float64 { return float64(s.Scrub.Damaged) }),
	counter("store_tables_replaced_total", "Damaged files of the engine that were replaced.", func(s vital) float64 { return float64(s.Scrub.Tables) }),

	gauge("disk_free_bytes", "Free bytes of the disk of the store; 0 where they are not known.", func(s vital) float64 { return float64(s.Free) }),
	gauge("disk_size_bytes", "Size of the disk of the store; 0 where it is not known.", func(s vital) float64 { return float64(s.Total) }),
	gauge("disk_state", "Room on the disk: 0 enough, 1 low, 2 too low for writes, 3 full.", func(s vital) float64 { return float64(s.Space) }),
	gauge("disk_waiting_seconds", "How long the longest operation has waited for room on the disk.", func(s vital) float64 { return s.Waiting.Seconds() }),
	gauge("disk_slow_seconds", "For how long the disk has not answered in time.", func(s vital) float64 { return s.SlowSince.Seconds() }),
}

type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(vital) float64
}

func gauge(name, help string, of func(vital) float64) figure {
	return figure{prometheus.NewDesc("barkeep_"+name, help, nil, nil), prometheus.GaugeValue, of}
}

func counter(name, help string, of func(vital) float64) figure {
	return figure{prometheus.NewDesc("barkeep_"+name, help, nil, nil), prometheus.CounterValue, of}
}

// Describe names every metric of the store.
func (storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range figures {
		ch <- f.desc
	}
}

// Collect reads every metric of the store.
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	now := vital{c.store.Stats(), c.store.Health()}
	for _, f := range figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(now))
	}
}
