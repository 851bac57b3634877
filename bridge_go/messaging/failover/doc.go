// Package failover makes one stream of two that carry the same events: two clusters with a mirror between them, or a broker of
// two regions that producers write to both.
//
// Both sides are read all the time. One is active: what it shows is handed out at once. What the other shows waits for the
// active one to show the same event, which is known by its id, and is then dropped. So it is always known what the other side
// has and the active one lacks, and nobody has to believe what a client says of its own health:
//
//   - The active side has stalled when it was asked for records and gave none for `after`, and the other side has shown an event that
//     long ago which the active one has not. Then the other is active, and what waited is handed out, in order. An idle side is not a
//     stalled one: as long as the other side has nothing that is missing, there is nothing to switch for.
//   - The primary is active again when it has given records, and for `back` has shown within `after` whatever the secondary has.
//   - An event that the active side has not shown within `window`, though it goes on and shows younger ones, is taken from the other.
//
// Positions are kept on both sides, by their own groups: a record's position is settled when the event's fate is stored, whichever
// side handed it out. What the sides have not both shown yet is written to a journal in the state folder when it is settled, before any
// position moves, so that a restart knows it. A side's commits are made beside the route: a side that is dead does not hold
// up the other's. Its position then lags, and what is read again is known by the journal.
//
//	side 0 (goroutine) --\                                   /-> journal -> side 0's position
//	                      core (under one lock) -> Read ... Commit
//	side 1 (goroutine) --/                                   \->            side 1's position
package failover
