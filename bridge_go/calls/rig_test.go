package calls

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	_ "ds-runner.dev/ds-runner/bridge_go/data/sql/sqlite"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/memory"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/server/servertest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var token = wire.Token(strings.Repeat("t", wire.LeastToken))

func init() {
	kv.Register("kvtest", nil)
	objects.Register("objectstest", nil)
	sql.Register("slow", nil)
}

// rig is a bridge's server with calls alone, over data that a test can look at.
type rig struct {
	*testing.T
	handler *Handler
	address string

	db     sql.Database
	store  *fakeStore
	bucket *fakeBucket
	conn   messaging.Connection
	slow   *slowDatabase

	mu     sync.Mutex
	alive  map[wire.Lease]bool
	staged []dispatch.Staged
	told   []string // methods called under leases
}

func start(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	ctx := context.Background()
	r := &rig{T: t, store: &fakeStore{values: map[string][]byte{}}, bucket: &fakeBucket{objects: map[string][]byte{}},
		slow: &slowDatabase{closed: make(chan struct{}, 100)}, alive: map[wire.Lease]bool{lease: true}}
	var err error
	if r.db, err = sql.Open(ctx, messaging.Options{Name: "local", URL: "sqlite:a.db", Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if r.conn, err = messaging.Open(ctx, messaging.Options{Name: "events", URL: "memory:"}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"create table t (id integer, name text)", "insert into t values (1, 'a'), (2, 'b'), (3, 'c')"} {
		if _, err := r.db.Execute(ctx, text, nil); err != nil {
			t.Fatal(err)
		}
	}
	c := Config{Data: r, Leases: func(programName, command string) Leases {
		if programName == "p" && command == "c" {
			return r
		}
		return nil
	}, Publish: func(context.Context, *wire.Hello, *wire.Call) ([]byte, error) { return msgp.AppendInt(nil, 7), nil }}
	if change != nil {
		change(&c)
	}
	r.handler = New(c)
	s, err := server.Listen(server.Config{Listen: []string{"tcp://127.0.0.1:0"}, Token: token, Calls: r.handler.Handle, Control: r.handler.Handle})
	if err != nil {
		t.Fatal(err)
	}
	r.address = s.Addresses()[0]
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(ctx, servertest.Patience)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), r.handler.Close(ctx), r.db.Close(ctx), r.conn.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	return r
}

var lease = wire.Lease{Nonce: 7, Batch: 1, Epoch: 1}

// Connections, Database and so on implement Data.
func (r *rig) Connections() map[string]string {
	return map[string]string{"local": "sqlite", "features": "kvtest", "models": "objectstest", "events": "memory", "slow": "slow", "broken": "sqlite"}
}

func (r *rig) Database(_ context.Context, name string) (sql.Database, error) {
	switch name {
	case "slow":
		return r.slow, nil
	case "broken":
		return nil, errors.New("no such host")
	}
	return r.db, nil
}

func (r *rig) Store(context.Context, string) (kv.Store, error)        { return r.store, nil }
func (r *rig) Bucket(context.Context, string) (objects.Bucket, error) { return r.bucket, nil }
func (r *rig) Streams() []string                                      { return []string{"alerts"} }
func (r *rig) Mask(_, text string) string                             { return strings.ReplaceAll(text, "hunter2", "***") }
func (r *rig) Stream(context.Context, string) (messaging.Connection, string, error) {
	return r.conn, "alerts", nil
}

// Called implements Leases, as Alive and Stage do.
func (r *rig) Called(_ wire.Lease, method string, _, _ []byte, _ *wire.CallError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, method)
}

func (r *rig) Alive(l wire.Lease) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alive[l]
}

func (r *rig) Stage(l wire.Lease, writes []dispatch.Staged) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.alive[l] {
		return dispatch.ErrStale
	}
	r.staged = append(r.staged, writes...)
	return nil
}

func (r *rig) revoke(l wire.Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.alive, l)
}

// apply does what was staged.
func (r *rig) apply() (errs []error) {
	r.mu.Lock()
	staged := r.staged
	r.staged = nil
	r.mu.Unlock()
	for _, w := range staged {
		errs = append(errs, w.Apply(context.Background()))
	}
	return errs
}

// A caller is one connection of the wire.
type caller struct {
	*rig
	client *servertest.Client
	last   uint64
}

func (r *rig) caller() *caller {
	r.Helper()
	client, _ := servertest.Greeted(r.T, r.address, token, wire.RoleCalls, servertest.Hello("p", "c", fmt.Sprint("w", time.Now().UnixNano())))
	return &caller{rig: r, client: client}
}

func (r *rig) commandLine() *caller {
	r.Helper()
	client, _ := servertest.Greeted(r.T, r.address, token, wire.RoleControl, servertest.Hello("", "", ""))
	return &caller{rig: r, client: client}
}

type list = []any

// send makes a call and does not wait.
func (c *caller) send(l *wire.Lease, deadline uint64, method string, args ...any) uint64 {
	c.Helper()
	raw, err := msgp.AppendIntf(nil, append(list{}, args...))
	if err != nil {
		c.Fatal(err)
	}
	c.last++
	c.client.Send(&wire.Call{ID: c.last, Lease: l, DeadlineMS: deadline, Method: method, Args: raw})
	return c.last
}

func (c *caller) answer(id uint64) (any, *wire.CallError) {
	c.Helper()
	a := servertest.Expect[*wire.Answer](c.client)
	if a.ID != id {
		c.Fatalf("answer %d, want %d", a.ID, id)
	}
	if !a.OK {
		return nil, a.Failure()
	}
	v, _, err := msgp.ReadIntfBytes(a.Value)
	if err != nil {
		c.Fatal(err)
	}
	return v, nil
}

func (c *caller) under(l *wire.Lease, method string, args ...any) any {
	c.Helper()
	v, failure := c.answer(c.send(l, 60_000, method, args...))
	if failure != nil {
		c.Fatalf("%s%v: %v", method, args, failure)
	}
	return v
}

func (c *caller) ask(method string, args ...any) any {
	c.Helper()
	return c.under(nil, method, args...)
}

func (c *caller) refused(l *wire.Lease, code, words, method string, args ...any) {
	c.Helper()
	v, failure := c.answer(c.send(l, 60_000, method, args...))
	if failure == nil {
		c.Errorf("%s%v answered %v, want %s", method, args, v, code)
		return
	}
	if failure.Code != code || !strings.Contains(failure.Reason, words) {
		c.Errorf("%s%v: got %v, want %s: ...%s...", method, args, failure, code, words)
	}
}

// rows are those of a page, as text.
func rows(t *testing.T, page any) string {
	t.Helper()
	_, batches, err := sql.ReadPage(page.([]byte))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range batches {
		for row := range int(b.NumRows()) {
			var cells []string
			for _, c := range b.Columns() {
				v, err := sql.Cell(c, row)
				if err != nil {
					t.Fatal(err)
				}
				cells = append(cells, fmt.Sprint(v))
			}
			all = append(all, strings.Join(cells, " "))
		}
	}
	return strings.Join(all, ", ")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(servertest.Patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

// fakeStore keeps values in a map.
type fakeStore struct {
	mu     sync.Mutex
	values map[string][]byte
	trips  int
	fail   error
}

func (s *fakeStore) Get(_ context.Context, keys []string) (values [][]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips++
	for _, k := range keys {
		values = append(values, s.values[k])
	}
	return values, s.fail
}

func (s *fakeStore) Put(_ context.Context, entries []kv.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips++
	for _, e := range entries {
		s.values[e.Key] = append([]byte{}, e.Value...)
		if e.TTL > 0 {
			s.values[e.Key+" ttl"] = []byte(e.TTL.String())
		}
	}
	return s.fail
}

func (s *fakeStore) Delete(_ context.Context, keys []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips++
	for _, k := range keys {
		delete(s.values, k)
	}
	return s.fail
}

func (s *fakeStore) Close(context.Context) error { return nil }

// fakeBucket keeps objects in a map.
type fakeBucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	begun   int
	aborted int
	told    objects.Announced
}

func (b *fakeBucket) Head(_ context.Context, key string) (objects.Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.objects[key]
	if !ok {
		return objects.Info{}, fmt.Errorf("%s: %w", key, objects.ErrNotFound)
	}
	return objects.Info{Key: key, Size: int64(len(data)), SHA256: "sum"}, nil
}

func (b *fakeBucket) Read(_ context.Context, key string, offset, length int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[key][offset : offset+length], nil
}

func (b *fakeBucket) List(_ context.Context, prefix, after string, most int) (found []objects.Info, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(b.objects)) {
		if strings.HasPrefix(k, prefix) && k > after && len(found) < most {
			found = append(found, objects.Info{Key: k, Size: int64(len(b.objects[k]))})
		}
	}
	return found, nil
}

func (b *fakeBucket) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
	return nil
}

func (b *fakeBucket) Create(_ context.Context, key string, told objects.Announced) (objects.Upload, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun++
	b.told = told
	return &fakeUpload{bucket: b, key: key, parts: map[int][]byte{}}, nil
}

func (b *fakeBucket) Close(context.Context) error { return nil }

type fakeUpload struct {
	bucket *fakeBucket
	key    string
	parts  map[int][]byte
}

func (u *fakeUpload) Part(_ context.Context, number int, data []byte) error {
	u.parts[number] = append([]byte{}, data...)
	return nil
}

func (u *fakeUpload) Finish(_ context.Context, size int64, _ string) error {
	var all []byte
	for i := range len(u.parts) {
		all = append(all, u.parts[i+1]...)
	}
	if int64(len(all)) != size {
		return objects.ErrDamaged
	}
	u.bucket.mu.Lock()
	defer u.bucket.mu.Unlock()
	u.bucket.objects[u.key] = all
	return nil
}

func (u *fakeUpload) Abort(context.Context) error {
	u.bucket.mu.Lock()
	defer u.bucket.mu.Unlock()
	u.bucket.aborted++
	return nil
}

// slowDatabase answers one page at once, and the next never. It tells of each query that is closed.
type slowDatabase struct {
	sql.Database
	mu     sync.Mutex
	opened int
	closed chan struct{}
}

func (d *slowDatabase) Query(_ context.Context, text string, _ map[string]any, _ int) (sql.Pages, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
	return &slowPages{d: d, first: text == "first"}, nil
}

type slowPages struct {
	d      *slowDatabase
	first  bool
	closed bool
}

func (p *slowPages) Next(ctx context.Context) ([]byte, bool, error) {
	if p.first {
		p.first = false
		return []byte("page"), false, nil
	}
	<-ctx.Done()
	return nil, false, fmt.Errorf("password hunter2: %w", context.Cause(ctx))
}

func (p *slowPages) Close() {
	if !p.closed {
		p.closed = true
		p.d.closed <- struct{}{}
	}
}
