package dispatch

// SetGeneration has all that is written from now on carry another generation in its message ids: events that are read again
// on purpose have outputs that are no duplicates of the earlier ones. It is called while the route is paused, from any
// goroutine; what is being written at that moment keeps the old one.
func (o *StreamOutlet) SetGeneration(generation int) { o.generation.Store(int64(generation)) }

// begin makes ready for the next slice of fates.
func (o *StreamOutlet) begin() {
	if now := int(o.generation.Load()); now != o.c.Generation {
		o.c.Generation, o.made = now, outgoing{} // its queues remember the beginnings of ids
	}
	o.made.reset(o.c)
}
