package front

import "time"

// When the workers of a version die too often, its requests are refused at once instead of killing more of them.
const (
	mostDeaths = 3
	deathsIn   = time.Minute
)

// A breaker counts deaths of workers that are their version's own doing: a row that kills counts once, however many workers it takes
// to find it, and what somebody killed from outside counts not at all. It closes by itself as the deaths fall behind; if the version
// still kills, the next few open it again. It belongs to whoever looks at the lane.
type breaker struct {
	seen   uint64      // of the route's count
	deaths []time.Time // the last of them, mostDeaths+1 at most
}

// note takes in the route's count of deaths as of now.
func (b *breaker) note(now time.Time, charged uint64) {
	for ; b.seen < charged; b.seen++ {
		b.deaths = append(b.deaths, now)
		if len(b.deaths) > mostDeaths+1 {
			b.deaths = b.deaths[1:]
		}
	}
}

// until is when it closes; a time that has passed says that it is closed.
func (b *breaker) until() time.Time {
	if len(b.deaths) <= mostDeaths {
		return time.Time{}
	}
	return b.deaths[0].Add(deathsIn)
}
