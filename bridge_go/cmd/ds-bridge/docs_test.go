package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/metrics"
	"ds-runner.dev/ds-runner/bridge_go/providers"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/shadow"
)

// The pages in docs/ tell of every flag, connector, setting and metric; these tests ask for it. Tables between two
// markers of a page are written by: go test ./bridge_go/cmd/ds-bridge -update
var update = flag.Bool("update", false, "write the tables of docs/ anew")

const docs = "../../../docs"

func TestTheTablesOfFlagsAreCurrent(t *testing.T) {
	var cli commands
	parser := kong.Must(&cli)
	for _, command := range parser.Model.Children {
		if command.Name == "version" {
			continue
		}
		var b strings.Builder
		b.WriteString("| flag | environment | default | what |\n|---|---|---|---|\n")
		for _, f := range command.Flags {
			if f.Name == "help" {
				continue
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", flagOf(f), code(f.Envs...), code(f.Default), f.Help)
		}
		current(t, "settings.md", "ds-bridge "+command.Name, b.String())
	}
}

func flagOf(f *kong.Flag) string {
	if f.IsBool() {
		return "--" + f.Name
	}
	value := f.PlaceHolder
	if value == "" {
		value = strings.ToUpper(f.Name)
	}
	if f.Enum != "" {
		value = strings.ReplaceAll(f.Enum, ",", "\\|")
	}
	return "--" + f.Name + " " + value
}

func code(words ...string) string {
	text := strings.Join(words, ", ")
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func TestTheTablesOfMetricsAreCurrent(t *testing.T) {
	current(t, "metrics.md", "route", table(metrics.Table))
	current(t, "metrics.md", "shadow", table(shadow.Table()))
	current(t, "metrics.md", "front", table(front.Table))
	current(t, "metrics.md", "wire", table(wireMetrics(t)))
	var connections []metrics.Metric
	for _, scheme := range ofTheirOwn(messaging.Schemes()) {
		connections = append(connections, connectorMetrics(t, scheme)...)
	}
	current(t, "metrics.md", "connectors", table(connections))
	noNameTwice(t, metrics.Table, shadow.Table(), front.Table, wireMetrics(t), connections)
}

// noNameTwice: all are in one registry, which refuses a second metric of a name with other labels. A program that sent outputs to an
// http endpoint and served an API did not start.
func noNameTwice(t *testing.T, tables ...[]metrics.Metric) {
	t.Helper()
	first := map[string]metrics.Metric{}
	for _, m := range slices.Concat(tables...) {
		if other, twice := first[m.Name]; twice && (other.Help != m.Help || !slices.Equal(other.Labels, m.Labels)) {
			t.Errorf("two metrics are called %s: %q and %q", m.Name, other.Help, m.Help)
		}
		first[m.Name] = m
	}
}

// sameAs are schemes that are another one, over TLS: they are told of there.
var sameAs = map[string]string{"kafka+tls": "kafka", "rediss": "redis", "postgresql": "postgres", "tls": "nats", "https": "http"}

// connected are schemes whose connections are made when they are opened.
var connected = []string{"nats", "postgres", "redis"}

// addressed are schemes that cannot do without an address, though nothing is asked there.
var addressed = map[string]string{"http": "http://127.0.0.1:1", "webhook": "webhook://127.0.0.1:0", "failover": "failover:?primary=a&secondary=b&id=key"}

func ofTheirOwn(schemes []string) []string {
	return slices.DeleteFunc(schemes, func(scheme string) bool { return sameAs[scheme] != "" })
}

func table(list []metrics.Metric) string {
	var b strings.Builder
	b.WriteString("| name | type | labels | what |\n|---|---|---|---|\n")
	for _, m := range list {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
	}
	return b.String()
}

func wireMetrics(t *testing.T) []metrics.Metric {
	t.Helper()
	var registered notes
	s, err := server.Listen(server.Config{Listen: []string{"tcp://127.0.0.1:0"}, Token: []byte("0123456789abcdef"), Register: &registered})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	return registered
}

func connectorMetrics(t *testing.T, scheme string) []metrics.Metric {
	t.Helper()
	var registered notes
	url := cmp.Or(addressed[scheme], scheme+":")
	if slices.Contains(connected, scheme) {
		url = providers.URL(t, scheme)
	}
	conn, err := messaging.Open(context.Background(), messaging.Options{
		Name: "events", URL: url, Dir: t.TempDir(), StateDir: t.TempDir(), Metrics: &registered,
	})
	if err != nil {
		t.Fatalf("%s: %v. A connector that needs a server is opened here with one, or listed otherwise", scheme, err)
	}
	if err := conn.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return registered
}

// notes is a registry that writes down what is registered.
type notes []metrics.Metric

var described = regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)", (?:unit: "[^"]*", )?constLabels: \{([^}]*)\}, variableLabels: [{\[]([^}\]]*)[}\]]`)

// Register implements prometheus.Registerer.
func (n *notes) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 16)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		found := described.FindStringSubmatch(d.String())
		if found == nil {
			return fmt.Errorf("cannot read %s", d)
		}
		labels := slices.DeleteFunc(strings.Split(found[4]+","+constant(found[3]), ","), func(s string) bool { return s == "" })
		*n = append(*n, metrics.Metric{Name: found[1], Type: kindOf(c, found[1]), Labels: labels, Help: found[2]})
	}
	return nil
}

func constant(labels string) string {
	name, _, _ := strings.Cut(labels, "=")
	return name
}

func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case *prometheus.CounterVec:
		return "counter"
	}
	if strings.HasSuffix(name, "_total") { // as the convention has it: a counter and a gauge of a function look alike
		return "counter"
	}
	return "gauge"
}

// MustRegister implements prometheus.Registerer.
func (n *notes) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := n.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (n *notes) Unregister(prometheus.Collector) bool { return false }

func TestEveryConnectorAndEachOfItsSettingsIsToldOf(t *testing.T) {
	page := read(t, "streaming.md")
	for _, scheme := range ofTheirOwn(messaging.Schemes()) {
		_, section, found := strings.Cut(page, "\n### `"+scheme+":`")
		if !found {
			t.Errorf("docs/streaming.md has no section ### `%s:`", scheme)
			continue
		}
		section, _, _ = strings.Cut(section, "\n#")
		for _, setting := range settingsOf(t, scheme) {
			if !strings.Contains(section, "\n| `"+setting+"` |") {
				t.Errorf("docs/streaming.md, section %s: the table has no setting `%s`", scheme, setting)
			}
		}
		for _, row := range regexp.MustCompile("\n\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
			if !slices.Contains(settingsOf(t, scheme), row[1]) {
				t.Errorf("docs/streaming.md, section %s: the connector has no setting `%s`", scheme, row[1])
			}
		}
	}
}

// settingsOf asks a connector for what it knows by a setting that none has: it answers with all of them.
func settingsOf(t *testing.T, scheme string) []string {
	t.Helper()
	_, err := messaging.Open(context.Background(), messaging.Options{
		Name: "events", URL: scheme + ":", Settings: map[string]string{"no-such-setting": "1"}, StateDir: t.TempDir(),
	})
	if err == nil {
		t.Fatalf("%s: takes a setting that it does not have", scheme)
	}
	_, known, found := strings.Cut(err.Error(), "Known: ")
	if !found {
		t.Fatalf("%s: names no settings: %v", scheme, err)
	}
	names := map[string]bool{}
	for name := range strings.SplitSeq(strings.TrimSpace(known), ", ") {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// current compares the table of that name in a page with what it has to be.
func current(t *testing.T, page, name, want string) {
	t.Helper()
	text := read(t, page)
	head, rest, found := strings.Cut(text, "<!-- table: "+name+" -->\n")
	_, tail, ended := strings.Cut(rest, "<!-- end -->")
	if !found || !ended {
		t.Errorf("docs/%s has no <!-- table: %s -->", page, name)
		return
	}
	whole := head + "<!-- table: " + name + " -->\n" + want + "<!-- end -->" + tail
	if whole == text {
		return
	}
	if !*update {
		t.Errorf("docs/%s, table %s is not current. Run: go test ./bridge_go/cmd/ds-bridge -update", page, name)
		return
	}
	if err := os.WriteFile(filepath.Join(docs, page), []byte(whole), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
