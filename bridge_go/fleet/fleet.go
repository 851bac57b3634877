// Package fleet keeps versions of one command's model side by side behind one front, and has one take over from another.
//
//	Give {4: 100} -> a lane for 4, wanted      -> Watch tells the parent of workers -> it loads version 4
//	              -> its workers are ready     -> front.Share: requests go to 4, from one moment to the next
//	              -> lanes that have no share  -> front.Retire: they answer what they have -> not wanted any more -> their workers end
//
// The bridge does not know the model store: what a name means, whether a version's files are what they were and whether there is room
// for it is the parent's to say (Named, Failed). A lane's workers join the route COMMAND@NAME, those of a command that names no
// versions COMMAND alone; which version they have they say in HELLO.
//
// What fails before the requests are given out changes nothing: the new lanes go, the old ones have never noticed.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/front"
)

const (
	// Most versions are loaded at a time, those that end included.
	Most      = 8
	lookEvery = 20 * time.Millisecond
	// farewell is how long a retired version's workers have to say goodbye.
	farewell = 5 * time.Second
)

// Errors of which callers tell the kind.
var (
	ErrRouted  = errors.New("gets requests")       // an unload of what is needed
	ErrBusy    = errors.New("is being changed")    // may be tried again
	ErrUnknown = errors.New("no such version")     // not in the model store, or not loaded
	ErrLoad    = errors.New("could not be loaded") // by the parent's word
)

// Config is what a fleet works on.
type Config struct {
	Command string
	Front   *front.Front
	// Route makes the route of a lane, which is known to workers by that name.
	Route func(l *front.Lane, name string) *dispatch.Route
	// Settle is the longest that a replaced version may take to answer what it has.
	Settle time.Duration
	// InPlace has one version replaced by another worker by worker, where there is no room for both.
	InPlace bool
	// Patience is how long the parent of workers may not have asked what is wanted before it is said that there is none; 5 s.
	Patience time.Duration
	Log      *slog.Logger
}

// A Fleet is safe from any goroutine.
type Fleet struct {
	cfg      Config
	changing sync.Mutex // held by who gives requests out anew, loads or unloads; taken before mu
	ends     sync.WaitGroup
	failed   chan error
	drained  chan struct{}

	mu         sync.Mutex
	ctx        context.Context // of Run; nil before
	lanes      map[string]*lane
	shares     map[string]int // by lane
	asks       map[string]*ask
	given      map[string]int // weights by number, of the last change
	closing    bool
	generation uint64
	changed    chan struct{} // closed at the next generation
	heard      time.Time     // when the parent last asked
}

// A lane is one version.
type lane struct {
	*front.Lane
	route  *dispatch.Route
	model  string // the version that the parent is to load; "" for what it began with
	since  uint64 // the generation before it was wanted: the same version may come and go
	failed string // why it could not be loaded
	ending bool
	swaps  bool // its workers are being replaced by those of the version in model
}

// An ask is a name whose version the parent is asked for.
type ask struct {
	answered     chan struct{}
	model, wrong string
}

// New makes a fleet with the lanes that a program names, which get requests by their weights. Without any, the front's first lane
// gets all. The first of names is the front's first lane.
func New(c Config, names []string, weights map[string]int) *Fleet {
	if c.Patience == 0 {
		c.Patience = 5 * time.Second
	}
	f := &Fleet{
		cfg: c, lanes: map[string]*lane{}, shares: map[string]int{}, asks: map[string]*ask{}, failed: make(chan error, 1),
		drained: make(chan struct{}), changed: make(chan struct{}), generation: 1,
	}
	if len(names) == 0 {
		names, weights = []string{""}, map[string]int{"": 1}
	}
	for i, name := range names {
		at := c.Front.First()
		if i > 0 {
			at = c.Front.Add(name)
		}
		f.lanes[name] = f.lane(at, name, "")
		if weights[name] > 0 {
			f.shares[name] = weights[name]
		}
	}
	f.share()
	return f
}

func (f *Fleet) lane(at *front.Lane, name, model string) *lane {
	return &lane{Lane: at, route: f.cfg.Route(at, f.RouteName(name)), model: model, since: f.generation}
}

// RouteName is what workers of a version say in HELLO.
func (f *Fleet) RouteName(version string) string {
	if version == "" {
		return f.cfg.Command
	}
	return f.cfg.Command + "@" + version
}

// Split is the command and the version that a name of HELLO means.
func Split(name string) (command, version string) {
	command, version, _ = strings.Cut(name, "@")
	return command, version
}

// share tells the front what the shares are.
func (f *Fleet) share() {
	var shares []front.Share
	for _, name := range slices.Sorted(maps.Keys(f.shares)) {
		shares = append(shares, front.Share{Lane: f.lanes[name].Lane, Weight: f.shares[name]})
	}
	f.cfg.Front.Share(shares)
}

// Route is what workers of a version join; nil where there is none of that name.
func (f *Fleet) Route(version string) *dispatch.Route {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.lanes[version]; l != nil {
		return l.route
	}
	return nil
}

// Run runs the routes of all versions until Drain, or one of them fails.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	for _, l := range f.lanes {
		f.start(l)
	}
	f.mu.Unlock()
	select {
	case err := <-f.failed:
		return err
	case <-f.drained:
		return nil
	}
}

// start runs a lane's route, with mu held.
func (f *Fleet) start(l *lane) {
	ctx := f.ctx
	f.ends.Go(func() {
		err := l.route.Run(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if err != nil && !l.ending {
			select {
			case f.failed <- err:
			default:
			}
		}
	})
}

// Drain ends all routes, when the front has answered what it had.
func (f *Fleet) Drain(ctx context.Context) error {
	f.mu.Lock()
	lanes := slices.Collect(maps.Values(f.lanes))
	running := f.ctx != nil
	f.closing = true
	f.mu.Unlock()
	errs := make([]error, len(lanes))
	var all sync.WaitGroup
	for i, l := range lanes {
		all.Go(func() { errs[i] = l.route.Drain(ctx) })
	}
	all.Wait()
	if running {
		f.ends.Wait()
	}
	close(f.drained)
	return errors.Join(errs...)
}

// Statuses are those of the routes, by the names that workers know them by.
func (f *Fleet) Statuses() map[string]dispatch.Status {
	f.mu.Lock()
	lanes := maps.Clone(f.lanes)
	f.mu.Unlock()
	statuses := map[string]dispatch.Status{}
	for name, l := range lanes {
		statuses[f.RouteName(name)] = l.route.Status()
	}
	return statuses
}

// A Version is one row of what is loaded.
type Version struct {
	Name    string  `json:"name"`    // as it was asked for; "" where the program names none
	Version string  `json:"version"` // that its workers have; "" while there are none
	State   string  `json:"state"`   // loading, ready, unready, ending
	Why     string  `json:"why,omitempty"`
	Weight  int     `json:"weight"`
	Workers int     `json:"workers"`
	In      uint64  `json:"in"` // rows that were taken
	P50     float64 `json:"latency_p50_ms"`
	P99     float64 `json:"latency_p99_ms"`
}

// Versions are all that are loaded, by name.
func (f *Fleet) Versions() []Version {
	f.mu.Lock()
	lanes := maps.Clone(f.lanes)
	rows := make([]Version, 0, len(lanes))
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		l := lanes[name]
		row := Version{Name: name, Version: l.version(), State: "ready", Why: l.Cause(), Weight: f.shares[name]}
		if l.ending {
			row.State = "ending"
		}
		rows = append(rows, row)
	}
	f.mu.Unlock()
	for i := range rows {
		row := &rows[i]
		s := lanes[row.Name].route.Status() // waits for the route's loop
		row.Workers, row.In, row.P50, row.P99 = s.Places(), s.In, s.P50, s.P99
		switch {
		case row.State == "ending":
		case row.Why != "" && !s.Answered && s.Places() == 0:
			row.State = "loading"
		case row.Why != "":
			row.State = "unready"
		}
	}
	return rows
}

// version is the one that its workers have, or are to have.
func (l *lane) version() string {
	if version := l.Version(); version != "" {
		return version
	}
	return l.model
}

// find is the lane of a version or name, with mu held; "" and false when there is none.
func (f *Fleet) find(wanted string) (string, bool) {
	if l := f.lanes[wanted]; l != nil {
		return wanted, true
	}
	for name, l := range f.lanes {
		if l.version() == wanted {
			return name, true
		}
	}
	return "", false
}

// next begins another generation, with mu held.
func (f *Fleet) next() {
	f.generation++
	close(f.changed)
	f.changed = make(chan struct{})
}

// A lack is an ErrUnknown that says what is lacking, and nothing else.
type lack struct{ text string }

func (l *lack) Error() string { return l.text }

func (l *lack) Unwrap() error { return ErrUnknown }

func unknown(format string, a ...any) error { return &lack{fmt.Sprintf(format, a...)} }
