package front

import (
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/metrics"
)

// A page is what metrics tell requests apart by; paths themselves are the clients' to invent.
type page uint8

const (
	pageOther page = iota
	pagePredict
	pageInfer
	pageHealth
	pageGRPC
	pages
)

var pageNames = [pages]string{"other", "predict", "infer", "health", "grpc"}

// Table is every metric of a front; all have the labels program and command besides their own.
var Table = []metrics.Metric{
	{Name: "ds_http_requests_total", Type: "counter", Labels: []string{"page", "status"},
		Help: "Requests answered, by page: predict, infer, health, grpc, other. Status 499: the client had gone."},
	{Name: "ds_http_request_seconds", Type: "histogram", Labels: []string{"page"}, Help: "From the request's header to the end of its answer."},
	{Name: "ds_http_rows_total", Type: "counter", Labels: []string{"fate"}, Help: "Rows answered, by fate: scored, rejected, failed."},
	{Name: "ds_http_queue_rows", Type: "gauge", Help: "Rows that wait or are being scored."},
	{Name: "ds_http_queue_bytes", Type: "gauge", Help: "Bytes of requests that wait or are being scored."},
	{Name: "ds_http_connections", Type: "gauge", Labels: []string{"protocol"}, Help: "Connections that are open, by protocol: http (HTTP/1.1 and HTTP/2), grpc."},
	{Name: "ds_http_shed_total", Type: "counter", Labels: []string{"reason"},
		Help: "Requests that were not taken in, by reason: queue_full, overloaded (they would have come too late), not_ready, draining, too_many_rows."},
	{Name: "ds_http_arriving_bytes", Type: "gauge", Help: "Bytes of bodies that are being read, above 4 KiB each."},
	{Name: "ds_http_breaker_open", Type: "gauge", Help: "Versions whose workers died too often of late, and whose requests are refused."},
	{Name: "ds_http_logged_total", Type: "counter", Help: "Requests written to the stream of the request log."},
	{Name: "ds_http_log_dropped_total", Type: "counter", Labels: []string{"reason"},
		Help: "Requests drawn for the log and not written, by reason: full, refused by the stream."},
	{Name: "ds_http_version_weight", Type: "gauge", Labels: []string{"version"}, Help: "Weight of a version that is loaded, beside those of the others: its share of the requests. 0: only requests that name it."},
}

var fateNames = [...]string{pending: "none", scored: "scored", rejected: "rejected", failed: "failed"}

var shedReasons = [...]string{"queue_full", "overloaded", "not_ready", "draining", "too_many_rows"}

// numbers counts with plain atomics where requests pass; scraping builds the metrics.
type numbers struct {
	descs       []*prometheus.Desc
	statuses    [pages][600]atomic.Uint64
	seconds     [pages]prometheus.Histogram
	rows        [len(fateNames)]atomic.Uint64
	shed        [len(shedReasons)]atomic.Uint64
	front       *Front
	connections atomic.Int64 // of HTTP
	callers     atomic.Int64 // connections of gRPC
}

func newNumbers(f *Front) (*numbers, error) {
	c := f.cfg
	labels := prometheus.Labels{"program": c.Program, "command": c.Command}
	n := &numbers{front: f}
	for _, m := range Table {
		n.descs = append(n.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels, labels))
	}
	for i := range n.seconds {
		own := prometheus.Labels{"program": c.Program, "command": c.Command, "page": pageNames[i]}
		n.seconds[i] = prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: Table[1].Name, Help: Table[1].Help, ConstLabels: own, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		})
	}
	if c.Registerer == nil {
		return n, nil
	}
	return n, c.Registerer.Register(n)
}

func (n *numbers) request(p page, status int, took time.Duration) {
	n.statuses[p][status].Add(1)
	n.seconds[p].Observe(took.Seconds())
}

func (n *numbers) row(a *answer) { n.rows[a.fate].Add(1) }

// refused counts a request that was not taken in.
func (n *numbers) refused(p *problem) {
	for i, reason := range shedReasons {
		if p.code == reason {
			n.shed[i].Add(1)
		}
	}
}

// connection is the hook of net/http.
func (n *numbers) connection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		n.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		n.connections.Add(-1)
	}
}

// Describe implements prometheus.Collector.
func (n *numbers) Describe(ch chan<- *prometheus.Desc) {
	for i, d := range n.descs {
		if i != 1 {
			ch <- d
		}
	}
	for _, h := range n.seconds {
		h.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (n *numbers) Collect(ch chan<- prometheus.Metric) {
	send := func(metric int, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(n.descs[metric], kind, value, labels...)
	}
	for p := range n.statuses {
		for status := range n.statuses[p] {
			if count := n.statuses[p][status].Load(); count > 0 {
				send(0, prometheus.CounterValue, float64(count), pageNames[p], strconv.Itoa(status))
			}
		}
		n.seconds[p].Collect(ch)
	}
	for fate := scored; int(fate) < len(fateNames); fate++ {
		send(2, prometheus.CounterValue, float64(n.rows[fate].Load()), fateNames[fate])
	}
	rows, bytes := n.front.load()
	send(3, prometheus.GaugeValue, float64(rows))
	send(4, prometheus.GaugeValue, float64(bytes))
	send(5, prometheus.GaugeValue, float64(n.connections.Load()), "http")
	send(5, prometheus.GaugeValue, float64(n.callers.Load()), "grpc")
	for i, reason := range shedReasons {
		send(6, prometheus.CounterValue, float64(n.shed[i].Load()), reason)
	}
	n.front.collect(send)
}

// collect is the rest of what a scrape sees.
func (f *Front) collect(send func(metric int, kind prometheus.ValueType, value float64, labels ...string)) {
	send(7, prometheus.GaugeValue, float64(f.budget.arriving.Load()))
	open, now := 0, time.Now()
	f.lanes(func(l *Lane) {
		if now.Before(l.seen.Load().until) {
			open++
		}
	})
	send(8, prometheus.GaugeValue, float64(open))
	for version, weight := range f.routing.Load().weights() {
		send(11, prometheus.GaugeValue, float64(weight), version)
	}
	if l := f.log; l != nil {
		send(9, prometheus.CounterValue, float64(l.written.Load()))
		send(10, prometheus.CounterValue, float64(l.full.Load()), "full")
		send(10, prometheus.CounterValue, float64(l.failed.Load()), "refused")
	}
}
