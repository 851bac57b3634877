package dispatch

import "ds-runner.dev/ds-runner/bridge_go/delivery"

// A sequence holds fates back until those of all events before them in their partition are there: a transaction stores
// outputs with a position, and behind that position there must be none whose event is read again.
//
// It is bounded by the span of a partition, behind which nothing more is read.
type sequence struct {
	lines map[delivery.Assignment]*line
	bytes int // of fates that wait
}

// A line is one partition's.
type line struct {
	next  uint64 // turn of the event whose fate is awaited
	early map[uint64]Fate
}

// add takes a fate in and appends to ready what may be stored now, in order.
func (s *sequence) add(ready []Fate, f Fate) []Fate {
	l := s.line(f.ID.Assignment())
	if f.ID.Turn != l.next {
		l.early[f.ID.Turn] = f
		s.bytes += f.bytes()
		return ready
	}
	for ok := true; ok; {
		ready = append(ready, f)
		l.next++
		if f, ok = l.early[l.next]; ok {
			delete(l.early, l.next)
			s.bytes -= f.bytes()
		}
	}
	return ready
}

func (s *sequence) line(of delivery.Assignment) *line {
	l := s.lines[of]
	if l == nil {
		if s.lines == nil {
			s.lines = map[delivery.Assignment]*line{}
		}
		l = &line{early: map[uint64]Fate{}}
		s.lines[of] = l
	}
	return l
}

// revoked takes out the fates of partitions that have been taken away.
func (s *sequence) revoked() (gone []Fate) {
	for of, l := range s.lines {
		if !of.Revoked() {
			continue
		}
		delete(s.lines, of)
		for _, f := range l.early {
			s.bytes -= f.bytes()
			gone = append(gone, f)
		}
	}
	return gone
}
