// Package delivery is the heart of the bridge: it gives every event that was read exactly one fate.
//
// It is pure. It knows no socket, file, clock, goroutine or lock: one goroutine calls it, says what happened and what
// time it is (nanoseconds on any monotonic clock), and carries out what [Core.Tick] and [Core.Fates] hand back. So every
// interleaving can be played in a test, and is.
//
// What comes in: [Core.Offer] with records, [Core.Join], [Core.Ready], [Core.Result], [Core.Return], [Core.Leave] and
// [Core.Died] from the side of the workers, [Core.Settled] and [Core.Refused] from the side of the sinks, [Core.Revoke]
// from the source. What goes out: leases to send, workers to cut or close, fates to write, positions to commit.
//
// STATES.md tells the life of an event, and what each state does with each thing that can happen to it.
package delivery
