// Eventparse times what it costs to make use of a JSON event in Go: package columns, from payloads to a body of columns, beside three
// parsers that fill a struct, or only look fields up. It reads a file with an event a line, and writes {"name": us of CPU an event}.
//
// It is a module of its own, so that the parsers it compares with are nobody's dependency. GOEXPERIMENT=jsonv2 is needed to build it.
package main

import (
	"bytes"
	"encoding/json"
	jsonv2 "encoding/json/v2"
	"log"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/bytedance/sonic"
	"github.com/valyala/fastjson"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

const batch = 256

// A Click is the event of tests/bench/events.py.
type Click struct {
	EventID  string  `json:"event_id"`
	TS       int64   `json:"ts"`
	UserID   int64   `json:"user_id"`
	Session  string  `json:"session"`
	Kind     string  `json:"kind"`
	Path     string  `json:"path"`
	Referrer string  `json:"referrer"`
	Country  string  `json:"country"`
	DwellMS  float64 `json:"dwell_ms"`
	Scroll   float64 `json:"scroll"`
	Priority int64   `json:"priority"`
	IsMember bool    `json:"is_member"`
}

const plan = `{"columns": {"unknown": "skip", "outputs": null, "fields": [
 {"name": "event_id", "kind": "str"}, {"name": "ts", "kind": "int"}, {"name": "user_id", "kind": "int"},
 {"name": "session", "kind": "str"}, {"name": "kind", "kind": "str"}, {"name": "path", "kind": "str"},
 {"name": "referrer", "kind": "str"}, {"name": "country", "kind": "str"}, {"name": "dwell_ms", "kind": "float"},
 {"name": "scroll", "kind": "float"}, {"name": "priority", "kind": "int"}, {"name": "is_member", "kind": "bool"}]}}`

// A parser makes use of a batch of events.
type parser struct {
	name  string
	batch func(events [][]byte) error
}

func main() {
	data, err := os.ReadFile(os.Args[1])
	check(err)
	rounds, err := strconv.Atoi(os.Args[2])
	check(err)
	events := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	found := map[string][]float64{}
	all := []parser{ours(), v2(), bySonic(), byFastjson()}
	for round := range rounds + 1 { // the first is not counted
		for _, p := range all {
			if us := cost(p, events); round > 0 {
				found[p.name] = append(found[p.name], us)
			}
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(found))
}

// cost is the CPU time of an event in microseconds. It is the process's, collection of garbage included.
func cost(p parser, events [][]byte) float64 {
	runtime.GC()
	start := cpuTime()
	for some := range slices.Chunk(events, batch) {
		check(p.batch(some))
	}
	return float64(cpuTime()-start) / float64(len(events)) / 1e3
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func ours() parser {
	p, err := columns.ReadPlan([]byte(plan))
	check(err)
	b := columns.NewBuilder(p)
	var layout []uint64
	var body []byte
	return parser{"columns", func(events [][]byte) error {
		b.Reset()
		for _, event := range events {
			if !b.Add(event) {
				log.Fatalf("%s is a misfit", event)
			}
		}
		layout = b.Layout(layout[:0])
		body = b.AppendBody(body[:0])
		return nil
	}}
}

func v2() parser {
	return parser{"encoding/json/v2", func(events [][]byte) error {
		for _, event := range events {
			var c Click
			if err := jsonv2.Unmarshal(event, &c); err != nil {
				return err
			}
		}
		return nil
	}}
}

func bySonic() parser {
	return parser{"sonic", func(events [][]byte) error {
		for _, event := range events {
			var c Click
			if err := sonic.Unmarshal(event, &c); err != nil {
				return err
			}
		}
		return nil
	}}
}

// byFastjson looks the fields up and copies texts, as whoever keeps them has to. It does not validate what it does not look at.
func byFastjson() parser {
	var f fastjson.Parser
	return parser{"fastjson", func(events [][]byte) error {
		for _, event := range events {
			v, err := f.ParseBytes(event)
			if err != nil {
				return err
			}
			text := func(name string) string { return string(v.GetStringBytes(name)) }
			use(Click{
				text("event_id"), v.GetInt64("ts"), v.GetInt64("user_id"), text("session"), text("kind"), text("path"),
				text("referrer"), text("country"), v.GetFloat64("dwell_ms"), v.GetFloat64("scroll"), v.GetInt64("priority"),
				v.GetBool("is_member"),
			})
		}
		return nil
	}}
}

var used Click

func use(c Click) { used = c }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
