package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A worker answers each event with {"by": version}.
type worker struct {
	route *dispatch.Route
	hello wire.Hello
}

func (w *worker) ID() string                 { return w.hello.Worker }
func (w *worker) Hello() *wire.Hello         { return &w.hello }
func (w *worker) Drain(string)               { go w.route.Leave(w, nil) }
func (w *worker) Close(wire.ByeCode, string) { go w.route.Leave(w, errors.New("closed")) }
func (w *worker) Send(b *wire.Batch) {
	r := &wire.Result{Lease: b.Lease, Count: uint64(len(b.Payloads)), Outputs: [][]byte{}}
	for range b.Payloads {
		r.Outputs = append(r.Outputs, []byte(`{"by":`+w.hello.Model+`}`))
	}
	go w.route.Result(w, r)
}

// A rig is a fleet behind a front, and the parent of workers, which knows versions 1 to 9 and that latest is 5.
type rig struct {
	*testing.T
	fleet   *fleet.Fleet
	server  *httptest.Server
	first   string   // the version that unnamed workers have
	joined  sync.Map // version by name
	workers sync.Map
	stop    context.CancelFunc
	parted  chan struct{}
	over    sync.WaitGroup
}

func start(t *testing.T, weights map[string]int, names ...string) *rig {
	t.Helper()
	return startWith(t, fleet.Config{}, weights, names...)
}

func startWith(t *testing.T, c fleet.Config, weights map[string]int, names ...string) *rig {
	t.Helper()
	f, err := front.New(front.Config{Program: "m", Command: "serve-api", RequestTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if c.Patience == 0 {
		c.Patience = time.Minute // a parent that asks ten times a second is there, however little of the machine is left for it
	}
	r := &rig{T: t, parted: make(chan struct{}), first: "1", server: httptest.NewServer(f)}
	r.fleet = fleet.New(fleet.Config{
		InPlace: c.InPlace, Command: "serve-api", Front: f, Settle: time.Minute, Patience: c.Patience, Log: slog.New(slog.DiscardHandler),
		Route: func(l *front.Lane, name string) *dispatch.Route {
			return l.Route(dispatch.Config{Program: "m", Command: name, Nonce: 7, Attempts: 1, Breaker: dispatch.Breaker{Off: true}, Batch: dispatch.Batch{Events: 64}})
		},
	}, names, weights)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.over.Go(func() { _ = r.fleet.Run(context.Background()) })
	r.over.Go(func() { r.parent(ctx) })
	t.Cleanup(func() {
		cancel()
		r.server.Close()
		f.Close()
		end, done := context.WithTimeout(context.Background(), time.Minute)
		defer done()
		_ = r.fleet.Drain(end)
		r.over.Wait()
	})
	r.until("ready", func() bool { status, _, _ := r.get(http.MethodGet, "/readyz", ""); return status == 200 })
	return r
}

// parent does as the supervisor in Python does.
func (r *rig) parent(ctx context.Context) {
	defer close(r.parted)
	var seen uint64
	for ctx.Err() == nil {
		wish := r.fleet.Watch(ctx, seen, 100*time.Millisecond, nil)
		seen = wish.Generation
		for _, ask := range wish.Asks {
			if ask == "latest" {
				r.fleet.Named(ask, "5", "")
			} else {
				r.fleet.Named(ask, "", "no model "+ask)
			}
		}
		for _, w := range wish.Versions {
			model := w.Model
			if had, runs := r.joined.LoadOrStore(w.Name, model); runs {
				if had != model && model != "" {
					r.turn(w.Name, model)
				}
				continue
			}
			switch {
			case model == "" && w.Name == "":
				model = r.first
			case model == "":
				model = w.Name
			case len(model) > 1:
				r.fleet.Failed(w.Name, "sha256 of model.bin is not the manifest's")
				continue
			}
			r.join(w.Name, model)
		}
		r.joined.Range(func(name, _ any) bool {
			if r.fleet.Route(name.(string)) == nil {
				r.joined.Delete(name)
			}
			return true
		})
	}
}

// turn replaces the worker of a lane, as the parent does where versions are swapped in place.
func (r *rig) turn(name, model string) {
	r.joined.Store(name, model)
	if len(model) > 1 {
		r.fleet.Failed(name, "out of memory")
		return
	}
	if old, ok := r.workers.Load(name); ok {
		old.(*worker).Drain("")
	}
	r.join(name, model)
}

func (r *rig) join(name, model string) {
	route := r.fleet.Route(name)
	if route == nil {
		return
	}
	w := &worker{route: route, hello: wire.Hello{Worker: "w-" + model, Model: model}}
	r.workers.Store(name, w)
	if _, err := route.Join(w); err == nil {
		route.Ready(w, 1024, 4<<20)
	}
}

func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not in time: %s", what)
		}
	}
}

func (r *rig) get(method, path, body string) (int, http.Header, string) {
	r.Helper()
	request, _ := http.NewRequest(method, r.server.URL+path, strings.NewReader(body))
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	data, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, string(bytes.TrimSpace(data))
}

func (r *rig) by() string {
	status, header, body := r.get(http.MethodPost, "/predict", `{}`)
	if version := header.Get("X-Model-Version"); status != 200 || body != `{"by":`+version+`}` {
		r.Errorf("%d %s by %q", status, body, version)
	}
	return header.Get("X-Model-Version")
}

// told are versions as "version state weight".
func (r *rig) told() string {
	var parts []string
	for _, v := range r.fleet.Versions() {
		parts = append(parts, fmt.Sprintf("%s %s %d", v.Version, v.State, v.Weight))
	}
	return strings.Join(parts, ", ")
}

func (r *rig) expect(want string) {
	r.Helper()
	r.until(want, func() bool { return r.told() == want })
}

func in(seconds time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), seconds*time.Second)
	_ = cancel
	return ctx
}

func TestAVersionTakesOverAndTheOldOneEnds(t *testing.T) {
	r := start(t, nil)
	if by := r.by(); by != "1" {
		t.Fatalf("answered by %s", by)
	}
	if err := r.fleet.Give(in(60), map[string]int{"latest": 1}); err != nil {
		t.Fatal(err)
	}
	if by := r.by(); by != "5" {
		t.Fatalf("answered by %s", by)
	}
	r.expect("5 ready 1")
	if err := r.fleet.Give(in(60), map[string]int{"1": 1}); err != nil { // and back
		t.Fatal(err)
	}
	r.expect("1 ready 1")
}

func TestProgramsBeginWithTheVersionsThatTheyName(t *testing.T) {
	r := start(t, map[string]int{"3": 90, "4": 10, "5": 0}, "3", "4", "5")
	r.expect("3 ready 90, 4 ready 10, 5 ready 0")
	by := map[string]int{}
	for range 200 {
		by[r.by()]++
	}
	if by["3"] < 120 || by["4"] == 0 || by["5"] > 0 {
		t.Errorf("answered by %v", by)
	}
}

func TestABadVersionUnderLoadChangesNothing(t *testing.T) {
	r := start(t, nil)
	var over atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !over.Load() {
				if by := r.by(); by != "1" {
					r.Errorf("answered by %s", by)
				}
				asked.Add(1)
			}
		})
	}
	for _, c := range []struct {
		ref  string
		want error
		told string
	}{
		{"77", fleet.ErrLoad, "sha256 of model.bin"}, {"nothing", fleet.ErrUnknown, "no model nothing"},
	} {
		if err := r.fleet.Give(in(60), map[string]int{c.ref: 1}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.told) {
			t.Errorf("%s: %v", c.ref, err)
		}
	}
	r.expect("1 ready 1")
	before := asked.Load()
	r.until("requests go on", func() bool { return asked.Load() > before+10 })
	over.Store(true)
	clients.Wait()
}

func TestOnlyWhatGetsNoRequestsIsUnloaded(t *testing.T) {
	r := start(t, nil)
	if err := r.fleet.Unload(in(60), "1"); !errors.Is(err, fleet.ErrRouted) {
		t.Errorf("unload of what is needed: %v", err)
	}
	if err := r.fleet.Unload(in(60), "2"); !errors.Is(err, fleet.ErrUnknown) {
		t.Errorf("unload of what is not loaded: %v", err)
	}
	if err := r.fleet.Load(in(60), "2"); err != nil {
		t.Fatal(err)
	}
	r.expect("1 ready 1, 2 ready 0")
	if status, header, _ := r.get(http.MethodPost, "/predict", `{}`); status != 200 || header.Get("X-Model-Version") != "1" {
		t.Errorf("%d by %s", status, header.Get("X-Model-Version"))
	}
	if err := r.fleet.Unload(in(60), "2"); err != nil {
		t.Fatal(err)
	}
	r.expect("1 ready 1")
}

func TestTwoNamesOfOneVersionAreRefused(t *testing.T) {
	r := start(t, nil)
	if err := r.fleet.Give(in(60), map[string]int{"latest": 1, "5": 1}); err == nil || !strings.Contains(err.Error(), "same version") {
		t.Errorf("%v", err)
	}
	r.expect("1 ready 1")
}

func TestWithoutAParentNothingIsWaitedForLong(t *testing.T) {
	r := startWith(t, fleet.Config{Patience: 500 * time.Millisecond}, nil)
	r.stop()
	<-r.parted
	r.until("the parent is missed", func() bool { return errors.Is(r.fleet.Load(in(60), "4"), fleet.ErrBusy) })
	r.expect("1 ready 1")
}

func TestAParentBringsTheWeightsToTheNextLifeOfTheBridge(t *testing.T) {
	r := start(t, nil)
	r.fleet.Watch(in(60), 99, 0, map[string]int{"5": 1})
	r.expect("5 ready 1")
	if w := r.fleet.Watch(in(60), 0, 0, nil); len(w.Weights) != 1 || w.Weights["5"] != 1 {
		t.Errorf("%v", w.Weights)
	}
}

func TestInPlaceTheWorkersAreReplacedAndGoBackWhenTheyCannotBe(t *testing.T) {
	r := startWith(t, fleet.Config{InPlace: true}, nil)
	if err := r.fleet.Give(in(60), map[string]int{"latest": 1}); err != nil {
		t.Fatal(err)
	}
	if by := r.by(); by != "5" {
		t.Errorf("answered by %s", by)
	}
	if err := r.fleet.Give(in(60), map[string]int{"77": 1}); !errors.Is(err, fleet.ErrLoad) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("%v", err)
	}
	r.expect("5 ready 1")
	if by := r.by(); by != "5" {
		t.Errorf("answered by %s", by)
	}
	if w := r.fleet.Watch(in(60), 0, 0, nil); w.Weights["5"] != 1 || len(w.Versions) != 1 || w.Versions[0].Model != "5" {
		t.Errorf("%+v", w)
	}
}

func TestSwitchesUnderLoadLoseNoRequest(t *testing.T) {
	r := start(t, nil)
	var over atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for !over.Load() {
				r.by()
				asked.Add(1)
			}
		})
	}
	for i := range 8 {
		n := fmt.Sprint(2 + i%2)
		r.until("version "+n+" takes over", func() bool { return r.fleet.Give(in(60), map[string]int{n: 1}) == nil })
		r.expect(n + " ready 1")
	}
	over.Store(true)
	clients.Wait()
	t.Log(asked.Load(), "requests")
}
