// Package repository answers operators over HTTP: the model repository extension of the Open Inference Protocol.
//
//	POST /v2/repository/index                                what is loaded, and in which state
//	POST /v2/repository/models/NAME[/versions/V]/load        loads a version beside the others; without one, latest
//	POST /v2/repository/models/NAME[/versions/V]/unload      ends a version that gets no requests; otherwise, or without one, 409
//
// It belongs on an admin listener, never on the front. What can be loaded is a name and a version of the model store whose hashes fit,
// which the parent of workers looks up: no path, no file and no parameter comes from a request. Loading gives a version no
// requests but those that name it; giving them out is `ds-runner roll`.
package repository

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

const (
	maxBody = 64 << 10
	// patience is how long a version may take to load, or to end.
	patience = 2 * time.Minute
)

// Config is whom and what a Handler serves.
type Config struct {
	Model    string                         // the name of the program's model
	Fleets   func() map[string]*fleet.Fleet // versions by command, those of a further model by COMMAND:MODEL
	Token    string                         // wanted as a bearer token; "": none
	Loopback bool                           // nobody but this machine reaches the listener
}

// Handler is safe from any goroutine.
type Handler struct {
	cfg Config
	mux *http.ServeMux
}

// New makes a Handler of everything below /v2/repository/.
func New(c Config) *Handler {
	h := &Handler{c, http.NewServeMux()}
	h.mux.HandleFunc("POST /v2/repository/index", h.index)
	for _, path := range []string{"/v2/repository/models/{model}/", "/v2/repository/models/{model}/versions/{version}/"} {
		h.mux.HandleFunc("POST "+path+"load", h.changing(h.load))
		h.mux.HandleFunc("POST "+path+"unload", h.changing(h.unload))
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, why := h.barred(r); status != 0 {
		fail(w, status, why)
		return
	}
	if _, pattern := h.mux.Handler(r); pattern == "" {
		fail(w, http.StatusNotFound, "no such page, or not by "+r.Method)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// barred says why a request may not come in. Without a token only this machine may ask, and no page of a browser on it: such a page
// says so by Origin, or by a name that leads to loopback.
func (h *Handler) barred(r *http.Request) (status int, why string) {
	given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case h.cfg.Token != "" && (!bearer || subtle.ConstantTimeCompare([]byte(given), []byte(h.cfg.Token)) != 1):
		return http.StatusUnauthorized, "the admin token is missing or wrong"
	case h.cfg.Token != "":
		return 0, ""
	case !h.cfg.Loopback:
		return http.StatusForbidden, "not on loopback, so versions are loaded with a token only: start the bridge with --admin-token-file"
	case r.Header.Get("Origin") != "" || !loopback(r.Host):
		return http.StatusForbidden, "not from a page of a browser"
	}
	return 0, ""
}

func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}

// A row is one version as the protocol tells it.
type row struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

var states = map[string]string{"ready": "READY", "unready": "UNAVAILABLE", "loading": "LOADING", "ending": "UNLOADING"}

func (h *Handler) index(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Ready bool `json:"ready"`
	}
	if err := read(r, &asked); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	rows := []row{}
	fleets := h.cfg.Fleets()
	for _, command := range slices.Sorted(maps.Keys(fleets)) {
		for _, v := range fleets[command].Versions() {
			if asked.Ready && v.State != "ready" {
				continue
			}
			name := v.Version
			if name == "" {
				name = v.Name
			}
			rows = append(rows, row{h.modelOf(command), name, states[v.State], v.Why})
		}
	}
	answer(w, http.StatusOK, rows)
}

func (h *Handler) load(ctx context.Context, f *fleet.Fleet, r *http.Request) error {
	var asked struct {
		Parameters map[string]json.RawMessage `json:"parameters"`
	}
	if err := read(r, &asked); err != nil {
		return &badRequest{err.Error()}
	}
	for name := range asked.Parameters {
		return &badRequest{fmt.Sprintf("no parameters are taken, so not %q: a version is loaded as it is in the model store", name)}
	}
	return f.Load(ctx, versionOf(r))
}

func (h *Handler) unload(ctx context.Context, f *fleet.Fleet, r *http.Request) error {
	var asked struct {
		Parameters struct {
			Dependents bool `json:"unload_dependents"` // there are none
		} `json:"parameters"`
	}
	if err := read(r, &asked); err != nil {
		return &badRequest{err.Error()}
	}
	if r.PathValue("version") == "" {
		return fmt.Errorf("the model as a whole %w: say which version, .../versions/V/unload", fleet.ErrRouted)
	}
	return f.Unload(ctx, versionOf(r))
}

// name is a version or alias, as the model store has them.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func versionOf(r *http.Request) string {
	if v := r.PathValue("version"); v != "" {
		return v
	}
	return "latest"
}

type badRequest struct{ text string }

func (b *badRequest) Error() string { return b.text }

// changing finds the model's versions and answers with what became of the change.
func (h *Handler) changing(change func(context.Context, *fleet.Fleet, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, status, why := h.fleet(r)
		if f == nil {
			fail(w, status, why)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		err := change(ctx, f, r)
		if err == nil {
			answer(w, http.StatusOK, struct{}{})
			return
		}
		status = statusOf(err)
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		fail(w, status, err.Error())
	}
}

func (h *Handler) fleet(r *http.Request) (f *fleet.Fleet, status int, why string) {
	if v := versionOf(r); !name.MatchString(v) {
		return nil, http.StatusNotFound, fmt.Sprintf("%q is no version", v)
	}
	fleets := h.cfg.Fleets()
	model := r.PathValue("model")
	maps.DeleteFunc(fleets, func(name string, _ *fleet.Fleet) bool { return h.modelOf(name) != model })
	if len(fleets) == 0 {
		return nil, http.StatusNotFound, fmt.Sprintf("no model %q here", model)
	}
	if command := r.URL.Query().Get("command"); command != "" || len(fleets) != 1 {
		if f = fleets[command]; f == nil {
			names := strings.Join(slices.Sorted(maps.Keys(fleets)), ", ")
			return nil, http.StatusNotFound, "of which command? Say ?command=NAME, with one of: " + names
		}
		return f, 0, ""
	}
	for _, f = range fleets {
	}
	return f, 0, ""
}

// modelOf is the model of a command's versions: the program's, or the one behind the colon.
func (h *Handler) modelOf(command string) string {
	if _, model, further := strings.Cut(command, ":"); further {
		return model
	}
	return h.cfg.Model
}

func statusOf(err error) int {
	var bad *badRequest
	switch {
	case errors.As(err, &bad), errors.Is(err, fleet.ErrLoad):
		return http.StatusBadRequest
	case errors.Is(err, fleet.ErrRouted):
		return http.StatusConflict
	case errors.Is(err, fleet.ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusServiceUnavailable
}

// read takes a body that is empty or one JSON object without unknown keys.
func read(r *http.Request, into any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("the body could not be read: %w", err)
	case len(data) > maxBody:
		return fmt.Errorf("the body is larger than %d bytes", maxBody)
	case len(strings.TrimSpace(string(data))) == 0:
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body does not fit: %w", err)
	}
	if d.More() {
		return errors.New("the body holds more than one value")
	}
	return nil
}

func fail(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = plainjson.Encoder(w).Encode(value)
}
