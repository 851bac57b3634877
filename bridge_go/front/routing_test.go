package front

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

const keyed = `{"input": {"$ref": "#/$defs/Departure", "$defs": {"Departure": {"type": "object", "properties": {
 "flight_id": {"type": "string", "x-key": true}, "dep_delay": {"type": "number"}}}}}}`

// A versioned rig is a front with lanes, each with a route and a worker of its own.
type versioned struct {
	*rig
	ends sync.WaitGroup
}

func newVersioned(t *testing.T, c Config) *versioned {
	c.Program, c.Command = "flights", "serve-api"
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	v := &versioned{rig: &rig{T: t, front: f, server: httptest.NewServer(f)}}
	t.Cleanup(func() { v.server.Close(); f.Close(); v.ends.Wait() })
	return v
}

// run gives a lane a route, which ends with the test or with what is returned.
func (v *versioned) run(l *Lane) *dispatch.Route {
	route := l.Route(dispatch.Config{
		Program: "flights", Command: "serve-api@" + l.Name(), Stream: "http", Nonce: 7, Attempts: 1,
		Breaker: dispatch.Breaker{Off: true}, Batch: dispatch.Batch{Events: 64},
	})
	ctx, cancel := context.WithCancel(context.Background())
	v.Cleanup(cancel)
	v.ends.Go(func() { _ = route.Run(ctx) })
	return route
}

// serve has a worker of that version join, and waits until the lane answers.
func (v *versioned) serve(l *Lane, model, describe string) *worker {
	v.Helper()
	w := &worker{route: v.run(l), hold: make(chan struct{}), died: func() {},
		hello: wire.Hello{Worker: "w-" + model, Model: model, Describe: []byte(describe)}}
	if _, err := w.route.Join(w); err != nil {
		v.Fatal(err)
	}
	w.route.Ready(w, 1024, 4<<20)
	v.until("version "+model+" answers", func() bool { return l.Cause() == "" && l.Model() == model })
	return w
}

// two makes versions 3 and 4 with shares.
func (v *versioned) two(three, four int) (old, next *Lane) {
	old, next = v.front.First(), v.front.Add("4")
	v.serve(old, "3", keyed)
	v.serve(next, "4", keyed)
	v.front.Share([]Share{{old, three}, {next, four}})
	return old, next
}

func (v *versioned) version(path, body string, headers ...string) string {
	v.Helper()
	request, _ := http.NewRequest(http.MethodPost, v.server.URL+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		v.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		v.Fatalf("%s: %s", path, answer.Status)
	}
	return answer.Header.Get("X-Model-Version")
}

func TestSharesOfRequestsFollowTheirWeights(t *testing.T) {
	v := newVersioned(t, Config{})
	v.two(90, 10)
	got := map[string]int{}
	for i := range 2000 {
		got[v.version("/predict", fmt.Sprintf(`{"flight_id": "f%d", "dep_delay": 1}`, i))]++
	}
	if got["4"] < 140 || got["4"] > 260 || got["3"]+got["4"] != 2000 { // 200 and five deviations
		t.Errorf("of 2000 requests, a tenth is for version 4: %v", got)
	}
}

func TestAKeyStaysWithItsVersionAndAChangeOfWeightsMovesOnlyWhatItMust(t *testing.T) {
	v := newVersioned(t, Config{})
	old, next := v.two(50, 50)
	row := func(i int) string {
		return fmt.Sprintf(`[{"dep_delay": 1, "flight_id": "f%d"}, {"flight_id": "x"}]`, i)
	}
	before := map[int]string{}
	for i := range 200 {
		before[i] = v.version("/predict", row(i))
		if again := v.version("/predict", row(i)); again != before[i] {
			t.Fatalf("f%d went to %s and then to %s", i, before[i], again)
		}
	}
	v.front.Share([]Share{{next, 80}, {old, 20}})
	moved := 0
	for i := range 200 {
		switch now := v.version("/predict", row(i)); {
		case now == "3" && before[i] == "4":
			t.Fatalf("f%d was moved away from the version that got more", i)
		case now != before[i]:
			moved++
		}
	}
	if moved == 0 || moved > 100 {
		t.Errorf("moved %d of 200 keys, where 60 had to", moved)
	}
}

func TestWithoutAKeyAHeaderAndThenTheRequestIDDecide(t *testing.T) {
	v := newVersioned(t, Config{RouteHeader: "X-User"})
	old, next := v.front.First(), v.front.Add("4")
	v.serve(old, "3", described)
	v.serve(next, "4", described)
	v.front.Share([]Share{{old, 1}, {next, 1}})
	for _, header := range []string{"X-User", "X-Request-Id"} {
		got := map[string]int{}
		for i := range 60 {
			first := v.version("/predict", `{"dep_delay": 1}`, header, fmt.Sprint("u", i))
			if again := v.version("/predict", `{"dep_delay": 2}`, header, fmt.Sprint("u", i)); again != first {
				t.Fatalf("%s u%d went to %s and then to %s", header, i, first, again)
			}
			got[first]++
		}
		if len(got) != 2 {
			t.Errorf("all of %s went to one version: %v", header, got)
		}
	}
}

func TestAVersionThatCannotAnswerLeavesItsRequestsToTheOthers(t *testing.T) {
	v := newVersioned(t, Config{})
	old, next := v.front.First(), v.front.Add("4")
	v.serve(old, "3", keyed)
	v.run(next)
	v.front.Share([]Share{{old, 1}, {next, 99}})
	for i := range 20 {
		if got := v.version("/predict", fmt.Sprintf(`{"flight_id": "f%d", "dep_delay": 1}`, i)); got != "3" {
			t.Fatalf("answered by %s", got)
		}
	}
	v.expect(http.MethodGet, "/readyz", "", 200, `{"ready":true}`)
}

func TestASwitchUnderLoadLosesNoRequest(t *testing.T) {
	v := newVersioned(t, Config{})
	lane := v.front.First()
	v.serve(lane, "1", keyed)
	var over atomic.Bool
	var asked, wrong atomic.Int64
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for i := 0; !over.Load(); i++ {
				status, _, text := v.ask(http.MethodPost, "/predict", fmt.Sprintf(`{"flight_id": "c%d", "dep_delay": %d}`, c, i))
				if want := fmt.Sprintf("{\"arr_delay\":%d,\"late\":false,\"gate\":null}\n", i); status != 200 || text != want {
					wrong.Add(1)
					v.Logf("%d %s", status, text)
				}
				asked.Add(1)
			}
		})
	}
	for n := 2; n < 12; n++ {
		next := v.front.Add(fmt.Sprint(n))
		v.serve(next, fmt.Sprint(n), keyed)
		before := asked.Load()
		v.front.Share([]Share{{next, 1}})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		v.front.Retire(ctx, lane)
		cancel()
		v.until("requests go on", func() bool { return asked.Load() > before+20 })
		lane = next
	}
	over.Store(true)
	clients.Wait()
	if wrong.Load() > 0 || asked.Load() == 0 {
		t.Errorf("%d of %d requests were lost", wrong.Load(), asked.Load())
	}
}

func TestTheKeyOfAnEventIsFound(t *testing.T) {
	if got := keyOf([]byte(`{"properties": {"a": {"type": "string"}, "b": {"x-key": true}}}`)); got != "b" {
		t.Errorf("key %q", got)
	}
	for _, c := range []struct{ row, want string }{
		{`{"b": 1, "a": "x"}`, "x"}, {` { "a" : 12.50 , "b":{}}`, "12.50"}, {`{"a":"x","a":"y"}`, "y"}, {`{"\u0061":"\u0078"}`, "x"},
		{`{"a":null}`, ""}, {`{"a":"null"}`, "null"}, {`{}`, ""}, {`[1]`, ""}, {`3`, ""}, {`{"b":{"a":1}}`, ""}, {`{"b":[{"a":1}],"a":true}`, "true"},
		{`{"a":""}`, ""}, {`{"a":{"c":[1]}}`, `{"c":[1]}`},
	} {
		if got := string(valueOf([]byte(c.row), "a")); got != c.want {
			t.Errorf("%s: %q, want %q", c.row, got, c.want)
		}
	}
}
