package front

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Versions of the model stand side by side in lanes: each has a queue, a route and workers of its own, so that one that is slow or
// dies keeps nobody of another waiting. Which lane a request goes to is decided once, for all of its rows, by one immutable table:
//
//	score -> routing.pick: by the version that the path names, else by weight -> Lane.queue -> the lane's route
//
// A switch stores another table. A request that has read the old one and finds its lane's queue closed reads the new one, so that
// none is lost; what the old lane has admitted it answers.
//
// By weight means: each routed lane draws a number from a hash of the model's name, its version and the request's key, and the
// smallest, scaled by weight, wins (weighted rendezvous hashing: Schindelhauer and Schomaker, 2005). So a key stays with its version
// on every replica and through restarts, and a change of weights moves no more keys than it must. The key is the event's Key, of
// the first row, else the header of [Config.RouteHeader], else the request's id; without any of them it is random.

// A Lane is one version of the model behind a front.
type Lane struct {
	front   *Front
	name    string // as whoever made it calls it: a version or an alias; "" is the model's only one
	queue   *queue
	abreast int // batches that each of its workers may score beside each other
	types   atomic.Pointer[types]
	key     atomic.Pointer[string] // the field of events that is their key
	watched atomic.Pointer[func() dispatch.Status]
	seen    atomic.Pointer[state]
	header  atomic.Pointer[[]string] // the version as a header's value
	breaker breaker                  // of whoever looks
	ready   time.Time                // when it last was, to whoever looks
	gone    atomic.Bool              // retired: whoever finds its queue closed picks another lane
}

// A Share is the part of requests that a lane gets: its weight by the sum of all.
type Share struct {
	Lane   *Lane
	Weight int // more than 0
}

// A routing is where requests go. It is never changed, only replaced.
type routing struct {
	lanes  []*Lane // all, those without a share too
	shares []Share
	salt   uint64
}

// Name is what the lane was made as.
func (l *Lane) Name() string { return l.name }

// Model is the version that its workers say that they have, or the name while there are none.
func (l *Lane) Model() string {
	if model := l.Version(); model != "" {
		return model
	}
	return l.name
}

// Version is the one that its workers say that they have; nothing while there are none.
func (l *Lane) Version() string { return l.seen.Load().model }

// Cause is why the lane cannot answer, or nothing.
func (l *Lane) Cause() string { return l.seen.Load().cause }

// Add makes another lane. It has no share: only requests that name its version go there.
func (f *Front) Add(name string) *Lane {
	l := f.newLane(name)
	f.change(func(t *routing) { t.lanes = append(slices.Clone(t.lanes), l) })
	return l
}

// First is the lane that every front has from its beginning, with all of the requests until somebody gives out shares.
func (f *Front) First() *Lane { return f.first }

// Share gives out the requests anew, from one moment to the next. Lanes that are not named answer what they have admitted.
func (f *Front) Share(shares []Share) {
	f.change(func(t *routing) { t.shares = slices.Clone(shares) })
	f.publish()
}

// Shares are the parts of requests as they are given out now.
func (f *Front) Shares() []Share { return slices.Clone(f.routing.Load().shares) }

// Retire takes a lane without a share out, and returns when it has answered what it had admitted, or the context ends.
func (f *Front) Retire(ctx context.Context, l *Lane) {
	l.gone.Store(true)
	l.queue.close()
	l.queue.idle(ctx)
	f.change(func(t *routing) {
		t.lanes = slices.DeleteFunc(slices.Clone(t.lanes), func(other *Lane) bool { return other == l })
	})
}

func (f *Front) change(edit func(t *routing)) {
	f.routingLock.Lock()
	defer f.routingLock.Unlock()
	next := *f.routing.Load()
	edit(&next)
	f.routing.Store(&next)
}

func (f *Front) newLane(name string) *Lane {
	l := &Lane{front: f, name: name, queue: newQueue(f.cfg.Rows, f.cfg.Bytes, f.cfg.Batch)}
	l.queue.budget, l.queue.batchBytes = f.budget, f.cfg.BatchBytes
	l.types.Store(&types{})
	l.key.Store(new(string))
	l.seen.Store(&state{cause: "starting", refuse: "starting"})
	return l
}

func newRouting(model string, first *Lane) *routing {
	return &routing{lanes: []*Lane{first}, shares: []Share{{first, 1}}, salt: xxhash.Sum64String(model)}
}

// Open gives the lane's route the source of rows; see [Front.Open].
func (l *Lane) Open(_ context.Context, describe []byte) (messaging.Source, error) {
	types, err := readTypes(l.front.cfg.Program, describe)
	if err != nil {
		return nil, err
	}
	key := keyOf(types.input)
	l.key.Store(&key)
	l.types.Store(types)
	l.front.publish()
	return l.queue.open(), nil
}

// Watch is [Front.Watch] of this lane.
func (l *Lane) Watch(status func() dispatch.Status) { l.watched.Store(&status) }

// Outlet gives fates to the requests of this lane.
func (l *Lane) Outlet() dispatch.Outlet { return outlet{l.queue} }

// publish is what the whole front shows: the types of the lane with the largest share, the versions that answer, and whether any can.
// One version that is down does not make the others unready: its requests go to them meanwhile.
func (f *Front) publish() {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	t := f.routing.Load()
	is := &state{}
	var models []string
	var main Share
	for _, share := range t.shares {
		seen := share.Lane.seen.Load()
		if seen.model != "" {
			models = append(models, seen.model)
		}
		if is.cause == "" {
			is.cause = seen.cause
		}
		if share.Weight > main.Weight {
			main = share
		}
	}
	if t.ready() {
		is.cause = ""
	}
	is.model = strings.Join(models, ",")
	if main.Lane != nil {
		f.types.Store(main.Lane.types.Load())
	}
	f.parting.look(is.cause == "", time.Now())
	was := f.seen.Load()
	is.served = was.served || is.cause == ""
	f.seen.Store(is)
	f.tellState(was, is)
}

func (t *routing) ready() bool {
	return slices.ContainsFunc(t.shares, func(s Share) bool { return s.Lane.seen.Load().cause == "" })
}

// admit puts a request into the queue of its lane.
func (f *Front) admit(r *http.Request, q *request) (*Lane, *problem) {
	for {
		lane, p := f.routing.Load().lane(f.cfg.RouteHeader, r.Header, q)
		if p != nil {
			return nil, p
		}
		if f.parting.shut() {
			return nil, problemEnding
		}
		if why := lane.seen.Load().refuse; why != "" {
			return nil, notReady(why)
		}
		q.lane = lane
		refused := lane.queue.admit(q)
		switch {
		case refused == admitted:
			return lane, nil
		case refused != ended || !lane.gone.Load():
			return nil, f.refused(refused)
		}
	}
}

// lane is the one that a request names, or else its draw.
func (t *routing) lane(header string, headers http.Header, q *request) (*Lane, *problem) {
	if q.version != "" {
		if l := t.named(q.version); l != nil {
			return l, nil
		}
		return nil, noVersion(q.version, t)
	}
	if len(t.shares) == 1 {
		return t.shares[0].Lane, nil
	}
	return t.draw(t.keyOf(header, headers, q)), nil
}

// named is the lane of a version, or nil.
func (t *routing) named(version string) *Lane {
	for _, l := range t.lanes {
		if !l.gone.Load() && (l.Model() == version || l.name == version) {
			return l
		}
	}
	return nil
}

func noVersion(version string, t *routing) *problem {
	var loaded []string
	for _, l := range t.lanes {
		loaded = append(loaded, l.Model())
	}
	return &problem{http.StatusNotFound, "no_version",
		fmt.Sprintf("version %s is not loaded, but %s", version, strings.Join(loaded, ", "))}
}

// keyOf is the hash of what a request's draw follows.
func (t *routing) keyOf(header string, headers http.Header, q *request) uint64 {
	if field := *t.shares[0].Lane.key.Load(); field != "" && len(q.rows) > 0 {
		if value := valueOf(q.body[q.rows[0].from:q.rows[0].to], field); len(value) > 0 {
			return xxhash.Sum64(value)
		}
	}
	if header != "" {
		if value := headers.Get(header); value != "" {
			return xxhash.Sum64String(value)
		}
	}
	if id := headers["X-Request-Id"]; len(id) == 1 && safeID(id[0]) {
		return xxhash.Sum64String(id[0])
	}
	return rand.Uint64()
}

// draw finds the lane of a key. Lanes that cannot answer are left out, unless none can.
func (t *routing) draw(key uint64) (best *Lane) {
	least, ready := math.Inf(1), false
	for _, s := range t.shares {
		drawn, answers := t.number(s, key), s.Lane.seen.Load().cause == ""
		if answers && !ready || answers == ready && drawn < least {
			best, least, ready = s.Lane, drawn, answers
		}
	}
	return best
}

// number is exponentially distributed with the weight as its rate, so that a lane's is the smallest as often as its share says.
func (t *routing) number(s Share, key uint64) float64 {
	var of [24]byte
	binary.LittleEndian.PutUint64(of[:], t.salt)
	binary.LittleEndian.PutUint64(of[8:], xxhash.Sum64String(s.Lane.Model()))
	binary.LittleEndian.PutUint64(of[16:], key)
	uniform := (float64(xxhash.Sum64(of[:])>>11) + 0.5) / (1 << 53) // never 0 nor 1
	return -math.Log(uniform) / float64(s.Weight)
}

// weights are those of the versions that are loaded. In a switch two lanes may have one version for a moment.
func (t *routing) weights() map[string]int {
	weights := map[string]int{}
	for _, l := range t.lanes {
		if model := l.Model(); model != "" {
			weights[model] = 0
		}
	}
	for _, s := range t.shares {
		if model := s.Lane.Model(); model != "" {
			weights[model] += s.Weight
		}
	}
	return weights
}

// tellVersion names the version that has answered in a header.
func (l *Lane) tellVersion(h http.Header, model string) {
	if model == "" {
		return
	}
	value := l.header.Load()
	if value == nil || (*value)[0] != model {
		value = &[]string{model}
		l.header.Store(value)
	}
	h["X-Model-Version"] = *value
}

// lanes does something with each.
func (f *Front) lanes(do func(l *Lane)) {
	for _, l := range f.routing.Load().lanes {
		do(l)
	}
}

// load is the rows and bytes that are counted in all lanes.
func (f *Front) load() (rows, bytes int) {
	f.lanes(func(l *Lane) {
		r, b := l.queue.load()
		rows, bytes = rows+r, bytes+b
	})
	return rows, bytes
}
