package dispatch

import "time"

// A Mark outlives the process. It is up while results may be stored whose positions are not committed: they are read again in the
// next life, and told from new ones by their ids as long as the sinks remember these. So a bridge that finds an old mark up
// knows that it was away for too long.
type Mark interface {
	// Set says that results are stored from now on. It is called again each second while they are.
	Set() error
	// Clear says that the position of each stored result is committed.
	Clear() error
}

// markEach is how old a mark may grow while results are stored, and how long it stays up behind the last.
const markEach = time.Second

// raise sets the mark before fates are stored. It is the writer's.
func (w *writer) raise() {
	if w.mark == nil || !w.marked.IsZero() && time.Since(w.marked) < markEach {
		return
	}
	if err := w.mark.Set(); err != nil {
		w.log.Error("it could not be noted that results are being stored: a bridge that is away for too long will not know it", "error", err)
	}
	w.marked = time.Now()
}

func (w *writer) lower() {
	if err := w.mark.Clear(); err != nil {
		w.log.Error("it could not be noted that all results have their positions committed", "error", err)
	}
	w.marked = time.Time{}
}

// lowerMark has the mark cleared some time after the last position was committed. It returns when it is to be called again.
func (r *Route) lowerMark() int64 {
	f, lag := r.feed, r.count.lag
	if lag > 0 || lag < 0 && r.handedOver == 0 {
		return 0 // what was stored in the last life may not have been read again yet
	}
	if !r.marked || r.writing > 0 || r.settled > 0 || len(r.position) > 0 || f == nil || f.commits == nil || f.committing || f.left || !r.inLine() {
		return 0
	}
	if due := r.handedOver + int64(markEach); r.now < due {
		return due
	}
	r.marked, r.writing = false, 1
	r.out <- handover{lower: true, at: r.now}
	return 0
}

// inLine says that no result is stored behind an event that is not.
func (r *Route) inLine() bool { return r.cfg.Sequenced || r.core.Live() == 0 }

// clean says whether all stored results have their positions committed, once writer and committer have ended well.
func (r *Route) clean() bool { return r.writing == 0 && !r.astray && r.inLine() }

// overstayed tells of results whose positions could not be committed for longer than their ids are remembered.
func (r *Route) overstayed() {
	if r.cfg.Window == 0 || r.storedSince == 0 || r.now-r.storedSince < int64(r.cfg.Window) || r.told {
		return
	}
	r.told = true
	r.cfg.Sinks.WindowExceeded.Add(1)
	r.log.Error("results are stored whose positions cannot be committed: the sink forgets their ids, and after a crash they are stored again",
		"window", r.cfg.Window, "since", time.Duration(r.now-r.storedSince).Round(time.Second))
}
