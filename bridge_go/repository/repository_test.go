package repository_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/repository"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A worker of a version, which is never asked anything.
type worker struct {
	route *dispatch.Route
	hello wire.Hello
}

func (w *worker) ID() string                 { return w.hello.Worker }
func (w *worker) Hello() *wire.Hello         { return &w.hello }
func (w *worker) Send(*wire.Batch)           {}
func (w *worker) Drain(string)               { go w.route.Leave(w, nil) }
func (w *worker) Close(wire.ByeCode, string) { go w.route.Leave(w, nil) }

// served is a fleet that answers with version 3, and a parent that knows 3, 4 and latest, which is 4.
func served(t *testing.T) map[string]*fleet.Fleet {
	t.Helper()
	door, err := front.New(front.Config{Program: "m", Command: "serve-api"})
	if err != nil {
		t.Fatal(err)
	}
	f := fleet.New(fleet.Config{Command: "serve-api", Front: door, Settle: time.Second, Log: slog.New(slog.DiscardHandler),
		Route: func(l *front.Lane, name string) *dispatch.Route {
			return l.Route(dispatch.Config{Program: "m", Command: name, Nonce: 7})
		}}, []string{"3"}, map[string]int{"3": 1})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() { _ = f.Run(context.Background()); ended <- struct{}{} }()
	go func() { parent(ctx, f); ended <- struct{}{} }()
	t.Cleanup(func() {
		cancel()
		door.Close()
		end, done := context.WithTimeout(context.Background(), time.Minute)
		defer done()
		_ = f.Drain(end)
		<-ended
		<-ended
	})
	for deadline := time.Now().Add(20 * time.Second); f.Versions()[0].State != "ready"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not ready in time")
		}
	}
	return map[string]*fleet.Fleet{"serve-api": f}
}

func parent(ctx context.Context, f *fleet.Fleet) {
	joined := map[string]bool{}
	for seen := uint64(0); ctx.Err() == nil; {
		wish := f.Watch(ctx, seen, 50*time.Millisecond, nil)
		seen = wish.Generation
		for _, ask := range wish.Asks {
			f.Named(ask, "4", "")
		}
		wanted := map[string]bool{}
		for _, v := range wish.Versions {
			wanted[v.Name] = true
			if joined[v.Name] {
				continue
			}
			joined[v.Name] = true
			if v.Name != "3" && v.Name != "4" {
				f.Failed(v.Name, "not in the model store")
				continue
			}
			if route := f.Route(v.Name); route != nil {
				w := &worker{route, wire.Hello{Worker: "w" + v.Name, Model: v.Name}}
				if _, err := route.Join(w); err == nil {
					route.Ready(w, 8, 1<<20)
				}
			}
		}
		for name := range joined {
			joined[name] = wanted[name]
		}
	}
}

func ask(h http.Handler, path, body string, edit ...func(r *http.Request)) (int, string) {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9"+path, strings.NewReader(body))
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestVersionsAreListedLoadedAndUnloaded(t *testing.T) {
	fleets := served(t)
	h := repository.New(repository.Config{Model: "m", Fleets: func() map[string]*fleet.Fleet { return maps.Clone(fleets) }, Loopback: true})
	const three, four = `{"name":"m","version":"3","state":"READY","reason":""}`, `{"name":"m","version":"4","state":"READY","reason":""}`
	for _, c := range []struct {
		path, body string
		status     int
		said       string
	}{
		{"index", "", 200, "[" + three + "]"},
		{"models/m/load", "{}", 200, "{}"},
		{"index", `{"ready": true}`, 200, "[" + three + "," + four + "]"},
		{"models/m/versions/4/load", "", 200, "{}"}, // again
		{"models/m/versions/3/unload", "", 409, "gets requests"},
		{"models/m/unload", "{}", 409, "say which version"},
		{"models/m/versions/latest/unload", `{"parameters": {"unload_dependents": false}}`, 200, "{}"},
		{"models/m/versions/4/unload", "", 404, "version 4 is not loaded"},
		{"index", "", 200, "[" + three + "]"},
		{"models/m/versions/9/load", "", 400, "not in the model store"},
		{"models/m/load", `{"parameters": {"config": "{}"}}`, 400, "no parameters are taken"},
		{"models/m/load", `{"parameters": {"file:1/model.bin": "AAAA"}}`, 400, "no parameters are taken"},
		{"models/m/load", `{"path": "/tmp"}`, 400, "unknown field"},
		{"models/m/load", `{} {}`, 400, "more than one value"},
		{"models/m/load", strings.Repeat(" ", 65<<10), 400, "larger than"},
		{"models/other/load", "", 404, "no model"},
		{"models/m/versions/..%2F..%2Fetc/load", "", 404, "is no version"},
		{"models/m/versions/-x/load", "", 404, "is no version"},
		{"models/m/load?command=other", "", 404, "one of: serve-api"},
		{"models/m", "", 404, "no such page"},
		{"", "", 404, "no such page"},
	} {
		status, text := ask(h, "/v2/repository/"+c.path, c.body)
		if status != c.status || !strings.Contains(text, c.said) {
			t.Errorf("%s %.60s: %d %s, want %d %s", c.path, c.body, status, text, c.status, c.said)
		}
		if status != 200 {
			var told struct{ Error string }
			if json.Unmarshal([]byte(text), &told) != nil || told.Error == "" {
				t.Errorf("%s: no error is told: %s", c.path, text)
			}
		}
	}
}

func TestAFurtherModelIsKnownByItsName(t *testing.T) {
	fleets := map[string]*fleet.Fleet{"serve-api:fares": served(t)["serve-api"]}
	h := repository.New(repository.Config{Model: "m", Fleets: func() map[string]*fleet.Fleet { return maps.Clone(fleets) }, Loopback: true})
	for path, want := range map[string]int{"index": 200, "models/fares/load": 200, "models/m/load": 404} {
		if status, text := ask(h, "/v2/repository/"+path, ""); status != want {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestOnlyThisMachineOrWhoHasTheTokenMayAsk(t *testing.T) {
	none := func() map[string]*fleet.Fleet { return nil }
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	near := repository.New(repository.Config{Model: "m", Fleets: none, Loopback: true})
	far := repository.New(repository.Config{Model: "m", Fleets: none})
	known := repository.New(repository.Config{Model: "m", Fleets: none, Token: "secret"})
	for _, c := range []struct {
		what   string
		h      http.Handler
		edit   func(*http.Request)
		status int
	}{
		{"loopback", near, host("127.0.0.1:9"), 200}, {"by name", near, host("localhost"), 200}, {"IPv6", near, host("[::1]:9"), 200},
		{"a page", near, header("Origin", "http://localhost:3000"), 403}, {"a page by DNS rebinding", near, host("evil.example:9"), 403},
		{"from afar", far, host("127.0.0.1:9"), 403}, {"without the token", known, host("127.0.0.1:9"), 401},
		{"a wrong token", known, header("Authorization", "Bearer secrex"), 401}, {"another scheme", known, header("Authorization", "Basic secret"), 401},
		{"the token", known, header("Authorization", "Bearer secret"), 200},
	} {
		if status, text := ask(c.h, "/v2/repository/index", "", c.edit); status != c.status {
			t.Errorf("%s: %d %s", c.what, status, text)
		}
	}
}
