package delivery

import "container/heap"

// A timer wakes an event that is parked or a lane that is stalled.
type timer struct {
	at    int64
	event *Event
	lane  *lane
}

type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}

func (t *timers) push(x timer) { heap.Push(t, x) }

func (t *timers) filter(keep func(timer) bool) {
	kept := (*t)[:0]
	for _, x := range *t {
		if keep(x) {
			kept = append(kept, x)
		}
	}
	*t = kept
	heap.Init(t)
}

// wake brings back what was parked or stalled until now.
func (c *Core) wake() {
	for len(c.timers) > 0 && c.timers[0].at <= c.now {
		t := heap.Pop(&c.timers).(timer)
		if t.event != nil {
			c.parked--
			c.again.push(t.event)
			continue
		}
		t.lane.timed = false
		c.serve(t.lane)
	}
}
