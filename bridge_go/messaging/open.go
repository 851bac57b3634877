package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Open connects by the URL's scheme. Settings may stand in the URL's query too (memory:?preload=a.jsonl); the options'
// own come first.
func Open(ctx context.Context, o Options) (Connection, error) {
	scheme, _, ok := strings.Cut(o.URL, ":")
	connect := connectors[scheme]
	if !ok || connect == nil {
		return nil, fmt.Errorf("connection %s: no connector for %q. Known: %s", o.Name, Mask(o.URL), strings.Join(Schemes(), ", "))
	}
	o, err := o.Ready()
	if err != nil {
		return nil, err
	}
	return connect(ctx, o)
}

// Ready puts the settings of the URL's query among the others, which come first, and takes them off the URL; Log is set.
// Every seam that opens connections begins with it.
func (o Options) Ready() (Options, error) {
	base, query, _ := strings.Cut(o.URL, "?")
	given, err := url.ParseQuery(query)
	if err != nil {
		return o, fmt.Errorf("connection %s: settings in the URL: %w", o.Name, err)
	}
	settings := make(map[string]string, len(given)+len(o.Settings))
	for name, values := range given {
		settings[name] = values[len(values)-1]
	}
	maps.Copy(settings, o.Settings)
	o.URL, o.Settings = base, settings
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("connection", o.Name)
	return o, nil
}

// Schemes lists the URL schemes that have a connector.
func Schemes() []string { return slices.Sorted(maps.Keys(connectors)) }

// Split takes a URL that names a topic apart: file:///data/in.jsonl is the connection file: and the topic
// /data/in.jsonl, memory:events?keep=0 the connection memory:?keep=0 and the topic events. Where a server holds databases the
// connection has the database's name too (see [Rooted]).
func Split(raw string) (connection, topic string, err error) {
	base, query, hasQuery := strings.Cut(raw, "?")
	scheme, rest, ok := strings.Cut(base, ":")
	if !ok || connectors[scheme] == nil {
		return "", "", fmt.Errorf("%s: not a URL of a known scheme (%s)", Mask(raw), strings.Join(Schemes(), ", "))
	}
	connection = scheme + ":"
	if host, path, found := authority(rest); found {
		connection, rest = connection+host, path
		if database, topic, _ := strings.Cut(path, "/"); rooted[scheme] {
			connection, rest = connection+"/"+database, topic
		}
	}
	if rest == "" {
		return "", "", fmt.Errorf("%s names no topic", Mask(raw))
	}
	if hasQuery {
		connection += "?" + query
	}
	return connection, rest, nil
}

// Rooted says that URLs of a scheme have one name before the topic: postgres://host/database/table. It is called from init
// functions.
func Rooted(scheme string) { rooted[scheme] = true }

var rooted = map[string]bool{}

// authority parts //host/topic. Without a host (file:///a) all is path.
func authority(rest string) (host, path string, found bool) {
	after, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return "", rest, false
	}
	if strings.HasPrefix(after, "/") {
		return "", after, true
	}
	name, path, _ := strings.Cut(after, "/")
	return "//" + name, path, true
}

// Mask takes user names, passwords and settings out of a URL, for messages and logs.
func Mask(raw string) string {
	base, _, _ := strings.Cut(raw, "?")
	before, after, found := strings.Cut(base, "@")
	if !found {
		return base
	}
	if scheme, _, ok := strings.Cut(before, "//"); ok {
		return scheme + "//" + after
	}
	return after
}

// Counter makes a counter of this connection, labelled with its name. Several sources and sinks may ask for the same one.
func (o Options) Counter(name, help string) prometheus.Counter {
	return register(o, prometheus.NewCounter(prometheus.CounterOpts{
		Name: name, Help: help, ConstLabels: prometheus.Labels{"connection": o.Name},
	}))
}

// Gauge makes a gauge of this connection, as Counter does.
func (o Options) Gauge(name, help string) prometheus.Gauge {
	return register(o, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: name, Help: help, ConstLabels: prometheus.Labels{"connection": o.Name},
	}))
}

// register gives the metric of that name that is known, or makes this one known.
func register[M prometheus.Collector](o Options, m M) M {
	if o.Metrics == nil {
		return m
	}
	var known prometheus.AlreadyRegisteredError
	if err := o.Metrics.Register(m); errors.As(err, &known) {
		return known.ExistingCollector.(M)
	}
	return m
}
