package delivery

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var (
	seedFlag = flag.Uint64("seed", 0, "play this one seed of the property test")
	runsFlag = flag.Int("runs", 400, "seeds that the property test plays for each order")
)

// Whatever happens to sources, workers and sinks, in any order: every event gets one fate, the right one, in the order
// of its lane; no commit passes an event without one; no window is overrun; and all comes to an end.
func TestEveryEventGetsOneFateWhateverHappens(t *testing.T) {
	for _, order := range []Order{Unordered, ByPartition, ByKey} {
		for i := range *runsFlag {
			seed := uint64(i + 1)
			if *seedFlag != 0 {
				seed = *seedFlag
			}
			if !t.Run(fmt.Sprintf("order=%d/seed=%d", order, seed), func(t *testing.T) { play(t, order, seed) }) {
				return
			}
			if *seedFlag != 0 {
				break
			}
		}
	}
}

// A world is the core with all that surrounds it, played by dice.
type world struct {
	abreast int // frames that each worker scores beside each other
	*testing.T
	*model
	dice    *rand.Rand
	core    *Core
	now     int64
	log     [3][]messaging.Record // by partition
	at      [3]int                // next to be offered
	commits [3]int64
	workers []*fake
	names   int
	excused map[string]int // deaths that were the environment's, by event
	writing []Fate
	quiet   bool
	outages bool // this life has them, and no event that fails by itself
	down    bool // everything fails
}

// A fake is a worker with the frames in its socket.
type fake struct {
	w      *Worker
	frames []frame
}

type frame struct {
	id     wire.Lease
	events []Ticket
	ids    []string
	done   int
}

func play(t *testing.T, order Order, seed uint64) {
	w := &world{T: t, model: newModel(t), dice: rand.New(rand.NewPCG(seed, uint64(order))), excused: map[string]int{}}
	w.core = New(Config{Nonce: 7, Order: order, Batch: Room{Events: 1 + w.dice.IntN(12), Bytes: 400}, Lanes: 8,
		Intake: Room{Events: 60, Bytes: 1 << 20}, Span: Room{Events: 80, Bytes: 1 << 20}, LaneCap: w.dice.IntN(6),
		OneInFlight: w.dice.IntN(4) == 0, Linger: int64(w.dice.IntN(2)) * 3e6,
		Breaker: BreakerConfig{Off: w.dice.IntN(3) == 0}})
	w.outages = w.dice.IntN(3) == 0
	if w.outages {
		w.core = New(Config{Nonce: 7, Order: order, Batch: Room{Events: 1 + w.dice.IntN(12), Bytes: 400}, Lanes: 8,
			Intake: Room{Events: 60, Bytes: 1 << 20}, Breaker: BreakerConfig{Run: 1}})
	}
	w.abreast = 1
	if order == Unordered {
		w.abreast += w.dice.IntN(3)
	}
	w.write(order)
	for range 600 {
		w.step()
	}
	w.quiet, w.down = true, false
	for i := 0; w.unfinished(); i++ {
		if i > 20000 {
			t.Fatalf("not at its end: %+v %+v", w.core.Gauges(), w.core.Stats())
		}
		w.step()
	}
	w.check()
}

// write fills the log: 300 events, some of which raise, reject or kill.
func (w *world) write(order Order) {
	offset := [3]int64{}
	for i := range 300 {
		p := w.dice.IntN(3)
		offset[p] += int64(1 + w.dice.IntN(2)*w.dice.IntN(5))
		id := fmt.Sprintf("%d/%d", p, offset[p])
		r := messaging.Record{Partition: int32(p), Offset: offset[p], Value: make([]byte, w.dice.IntN(100))}
		switch key := w.dice.IntN(7); {
		case order == ByKey && key > 0:
			r.Key = fmt.Appendf(nil, "%d-%d", p, key)
			w.lane[id] = string(r.Key)
		case order == ByPartition:
			w.lane[id] = fmt.Sprint(p)
		}
		w.rank[id] = i
		w.truth[id] = []truth{good, good, good, good, good, good, good, good, rejects, good, good, good}[w.dice.IntN(12)]
		if w.dice.IntN(60) == 0 && !w.outages {
			w.truth[id] = []truth{raises, kills}[w.dice.IntN(2)]
		}
		w.log[p] = append(w.log[p], r)
	}
}

func (w *world) unfinished() bool {
	for p := range w.log {
		if w.at[p] < len(w.log[p]) {
			return true
		}
	}
	return w.core.Live() > 0 || len(w.writing) > 0
}

func (w *world) step() {
	w.now += int64(w.dice.IntN(20)) * 1e6
	if w.dice.IntN(40) == 0 || w.quiet {
		w.now += 400e6
	}
	switch n := w.dice.IntN(100); {
	case n < 20:
		w.offer()
	case n < 26:
		w.join()
	case n < 28 && !w.quiet:
		w.resize()
	case n < 60:
		w.answer()
	case n < 62 && !w.quiet:
		w.environment()
	case n < 64 && !w.quiet:
		w.giveBack()
	case n < 65 && !w.quiet:
		w.revoke()
	case n < 66 && !w.quiet:
		w.late()
	case n < 67 && w.outages:
		w.down = !w.down && !w.quiet
	case n < 67 && !w.quiet:
		w.core.Supervised(w.now, w.dice.IntN(2) == 0)
	case n < 69 && !w.quiet:
		w.forget()
	default:
		w.settle()
	}
	w.tick()
}

func (w *world) offer() {
	p := w.dice.IntN(3)
	room := w.core.Wants()
	n := min(w.dice.IntN(20), room.Events, len(w.log[p])-w.at[p])
	if n <= 0 || room.Bytes == 0 {
		return
	}
	batch := slices.Clone(w.log[p][w.at[p] : w.at[p]+n])
	w.at[p] += n
	w.core.Offer(w.now, batch)
}

func (w *world) join() {
	if w.core.places() == 0 && len(w.workers) > 0 { // a parent gives the place that a goodbye left to its standby
		w.core.Ready(w.now, w.any().w, Room{Events: 20, Bytes: 500})
	}
	if len(w.workers) >= 4 {
		return
	}
	w.names++
	name, standby := fmt.Sprintf("w%d", w.names), w.core.places() > 0 && w.dice.IntN(4) == 0
	w.sign(name, uint64(w.names), standby)
}

func (w *world) hire(name string, pid uint64) { w.sign(name, pid, false) }

func (w *world) sign(name string, pid uint64, standby bool) {
	f := &fake{}
	f.w = w.core.Join(w.now, name, pid, "1", f)
	if standby {
		f.w.Standby()
	}
	f.w.Abreast(w.abreast)
	w.workers = append(w.workers, f)
	w.core.Ready(w.now, f.w, Room{Events: 1 + w.dice.IntN(40), Bytes: 50 + w.dice.IntN(1000)})
}

func (w *world) resize() {
	if f := w.any(); f != nil && len(f.frames) == 0 {
		w.core.Ready(w.now, f.w, Room{Events: w.dice.IntN(40), Bytes: w.dice.IntN(1000)})
	}
}

func (w *world) any() *fake {
	if len(w.workers) == 0 {
		return nil
	}
	return w.workers[w.dice.IntN(len(w.workers))]
}

// answer plays what a worker does with its oldest frame: it scores all or a part, or dies of an event that kills.
func (w *world) answer() {
	f := w.any()
	if f == nil || len(f.frames) == 0 {
		if f != nil && f.w.Window().Events == 0 {
			w.core.Ready(w.now, f.w, Room{Events: 20, Bytes: 500})
		}
		return
	}
	at := w.dice.IntN(len(f.begun()))
	x := &f.frames[at]
	n := len(x.ids) - x.done
	if w.dice.IntN(4) == 0 {
		n = 1 + w.dice.IntN(n)
	}
	r := &wire.Result{Lease: x.id, First: uint64(x.done), Count: uint64(n)}
	outputs := 0
	for i := x.done; i < x.done+n; i++ {
		switch kind := w.truth[x.ids[i]]; {
		case kind == kills:
			w.killed(f, []string{CauseSignal, CauseExit, CauseHang}[w.dice.IntN(3)])
			return
		case kind == raises || w.down:
			r.Errors = append(r.Errors, wire.RowError{Index: uint64(i), Kind: wire.KindFail, Code: "raised"})
		case kind == rejects:
			r.Errors = append(r.Errors, wire.RowError{Index: uint64(i), Kind: wire.KindReject, Code: "rejected"})
		case !w.quiet && w.dice.IntN(50) == 0:
			r.Errors = append(r.Errors, wire.RowError{Index: uint64(i), Kind: wire.KindRetry, RetryMS: uint64(w.dice.IntN(50))})
		default:
			outputs++
		}
	}
	if err := w.core.Result(w.now, f.w, r, outputs); err != nil {
		w.Fatal(err)
	}
	w.fates()
	if x.done += n; x.done == len(x.ids) {
		f.frames = slices.Delete(f.frames, at, at+1)
	}
}

// begun are the frames that it may be scoring.
func (f *fake) begun() []frame { return f.frames[:min(len(f.frames), f.w.abreast)] }

// killed ends a worker's process; its parent may say so before or after its socket ends, or never.
func (w *world) killed(f *fake, cause string) {
	w.gone(f)
	switch w.dice.IntN(3) {
	case 0:
		w.core.Died(w.now, f.w.ID, cause, "")
		w.core.Leave(w.now, f.w, false)
	case 1:
		w.core.Leave(w.now, f.w, false)
		w.tick()
		w.core.Died(w.now, f.w.ID, cause, "")
	default:
		w.core.Died(w.now, f.w.ID, cause, "")
		w.now += settleSocket
		w.tick()
		w.core.Leave(w.now, f.w, false)
	}
}

// held are the events of the frames that it may be scoring.
func (f *fake) held() (ids []string) {
	for _, x := range f.begun() {
		ids = append(ids, x.ids...)
	}
	return ids
}

func (w *world) gone(f *fake) {
	w.workers = slices.DeleteFunc(w.workers, func(x *fake) bool { return x == f })
}

// environment ends a worker for reasons that are not its events'.
func (w *world) environment() {
	f := w.any()
	if f == nil || !w.bears(f) {
		return
	}
	switch w.dice.IntN(5) {
	case 0:
		w.killed(f, CauseKilled)
	case 1:
		w.killed(f, CauseOOM)
	case 2: // goodbye
		w.gone(f)
		w.core.Leave(w.now, f.w, true)
	case 3: // the link is lost, the process dials again
		w.gone(f)
		w.core.Leave(w.now, f.w, false)
		w.hire(f.w.ID, f.w.PID)
	case 4: // the same name dials again before its old connection has ended
		w.gone(f)
		w.hire(f.w.ID, f.w.PID)
		w.tick()
		w.core.Leave(w.now, f.w, false)
	}
}

// bears says whether the events that a worker is at have excuses left; without, the environment convicts innocents in the end,
// which is what the core is to do.
func (w *world) bears(f *fake) bool {
	if len(f.frames) == 0 {
		return true
	}
	for _, id := range f.held() {
		if w.excused[id]++; w.excused[id] > maxExcuses {
			return false
		}
	}
	return true
}

func (w *world) giveBack() {
	if f := w.any(); f != nil && len(f.frames) > 0 {
		w.core.Return(w.now, f.w, f.frames[0].id, int64(w.dice.IntN(2))*50e6)
		f.frames = f.frames[1:]
		w.fates()
	}
}

// forget lets go of some events that nobody waits for: they need no fate any more, and no worker has them afterwards.
func (w *world) forget() {
	forgotten := w.core.Forget(w.now, func(*messaging.Record) bool { return w.dice.IntN(8) == 0 })
	for _, p := range forgotten {
		w.fate[fmt.Sprintf("%d/%d", p.Partition, p.Offset)] = Kind(255)
	}
	w.commit()
}

// late sends results that nobody waits for.
func (w *world) late() {
	if f := w.any(); f != nil {
		stale := []wire.Lease{{Nonce: 1, Batch: 1}, {Nonce: 7, Batch: 1 << 40}}[w.dice.IntN(2)]
		if err := w.core.Result(w.now, f.w, &wire.Result{Lease: stale, Count: 3}, 3); err != nil {
			w.Fatal(err)
		}
	}
}

// revoke takes a partition away and gives it back, from its last commit on.
func (w *world) revoke() {
	p := w.dice.IntN(3)
	w.commit()
	w.core.Revoke(w.now, []int32{int32(p)})
	w.at[p] = 0
	for w.at[p] < len(w.log[p]) && w.log[p][w.at[p]].Offset <= w.commits[p] {
		w.at[p]++
	}
}

// tick carries out what the core wants done.
func (w *world) tick() {
	e := w.core.Tick(w.now)
	w.fates()
	for _, c := range append(slices.Clone(e.Closes), asCloses(e.Cuts)...) {
		w.gone(c.Worker.Handle.(*fake))
	}
	for _, l := range e.Leases {
		f := l.Worker.Handle.(*fake)
		if l.Worker.Held() {
			w.Fatalf("the standby %s was given a batch", l.Worker.ID)
		}
		x := frame{id: wire.Lease{Nonce: 7, Batch: l.Batch, Epoch: l.Epoch}}
		for _, ev := range l.Events() {
			x.events = append(x.events, ev)
			x.ids = append(x.ids, id(ev))
		}
		f.frames = append(f.frames, x)
	}
	for _, f := range w.workers {
		w.window(f)
	}
}

func asCloses(cut []*Worker) (c []Close) {
	for _, w := range cut {
		c = append(c, Close{Worker: w})
	}
	return c
}

func (w *world) window(f *fake) {
	frames, used := f.w.InFlight()
	if frames != len(f.frames) {
		w.Fatalf("%d frames in flight by the core's count, %d by the worker's", frames, len(f.frames))
	}
	win := f.w.Window()
	lone := frames == 1 && used.Events == 1
	if used.Events > win.Events || used.Bytes > win.Bytes && !lone {
		w.Fatalf("window %+v is overrun by %+v", win, used)
	}
}

func id(e Ticket) string { return fmt.Sprintf("%d/%d", e.Record.Partition, e.Record.Offset) }

func (w *world) fates() {
	for _, f := range w.core.Fates() {
		w.decided(f, id(f.Event))
		w.writing = append(w.writing, f)
	}
}

// settle plays the sink: some of what was handed to it is durable, now and then it refuses one.
func (w *world) settle() {
	n := min(len(w.writing), 1+w.dice.IntN(30))
	for _, f := range w.writing[:n] {
		name := id(f.Event)
		delete(w.fated, f.Event)
		if f.Kind == Scored && w.dice.IntN(100) == 0 {
			w.excuse[name] = true
			w.core.Refused(f.Event, Failure{Code: "refused"})
			continue
		}
		w.fate[name] = f.Kind
		w.core.Settled(f.Event, f.Kind)
	}
	w.writing = slices.Clone(w.writing[n:])
	w.fates()
	w.commit()
}

func (w *world) commit() {
	for _, p := range w.core.Commits() {
		if p.Offset < w.commits[p.Partition] {
			w.Fatalf("commit of partition %d went back from %d to %d", p.Partition, w.commits[p.Partition], p.Offset)
		}
		w.commits[p.Partition] = p.Offset
		var received []int64
		for _, r := range w.log[p.Partition][:w.at[p.Partition]] {
			received = append(received, r.Offset)
		}
		w.committed(p.Partition, p.Offset, received)
	}
}

func (w *world) check() {
	w.commit()
	for p := range w.log {
		if last := w.log[p][len(w.log[p])-1].Offset; w.commits[p] != last {
			w.Fatalf("partition %d is committed up to %d of %d", p, w.commits[p], last)
		}
	}
	if g := w.core.Gauges(); g.Live != (Room{}) || g.Queued != 0 || g.Parked != 0 || g.Held != 0 || g.Suspicions != 0 {
		w.Fatalf("left over: %+v", g)
	}
	for name, kind := range w.truth {
		if _, ok := w.fate[name]; !ok {
			w.Fatalf("%s (%d) has no fate", name, kind)
		}
	}
}
