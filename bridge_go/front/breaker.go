package front

import "time"

// When the workers of a version die too often, its requests are refused at once instead of killing more of them.
const (
	mostDeaths = 3
	deathsIn   = time.Minute
)

// A breaker counts deaths of workers that are their version's own doing, and opens when there are too many of either kind. A row that kills is
// charged once, however many workers it takes to find it, and what somebody killed from outside not at all. Deaths in a row, without
// an answer or a culprit between them, count each: a bisection that looks for one row has three of these at most, so that the
// fourth says that it is not the row. It closes by itself as the deaths fall behind; if the version still kills, the next few open it again.
// It belongs to whoever looks at the lane.
type breaker struct{ charged, barren deaths }

// deaths are the times of the last ones of a count, mostDeaths+1 at most.
type deaths struct {
	seen uint64 // of the route's count
	at   []time.Time
}

// note takes in the route's counts of deaths as of now.
func (b *breaker) note(now time.Time, charged, barren uint64) {
	b.charged.note(now, charged)
	b.barren.note(now, barren)
}

// note takes in a count; one that is smaller than before has begun anew.
func (d *deaths) note(now time.Time, count uint64) {
	if count < d.seen {
		*d = deaths{}
	}
	for ; d.seen < count; d.seen++ {
		d.at = append(d.at, now)
		if len(d.at) > mostDeaths+1 {
			d.at = d.at[1:]
		}
	}
}

// until is when it closes; a time that has passed says that it is closed.
func (b *breaker) until() time.Time {
	charged, barren := b.charged.until(), b.barren.until()
	if barren.After(charged) {
		return barren
	}
	return charged
}

func (d *deaths) until() time.Time {
	if len(d.at) <= mostDeaths {
		return time.Time{}
	}
	return d.at[0].Add(deathsIn)
}
