// Package shadow scores a command's events with a second model and says how its answers differ, without being in anybody's way.
//
//	primary route --fates that are durable--> Offer --> queue --> route of the shadow --> workers of the shadow
//	                                                      |              |
//	                                              full: dropped,     answers: compared with the fate (compare.go),
//	                                              counted            counted (tally.go), never written
//
// A shadow has a [dispatch.Route] of its own, with a loop, workers, leases and deadlines of its own; its source is the queue and its
// outlet the comparison. The primary knows of it by one call alone, [Shadow.Offer], which copies what fits into the queue and never
// waits. So whatever becomes of a shadow's workers (they crash, hang, cannot load their model, or are slow), the primary's
// events are scored, stored and committed as if there were none.
//
// What a shadow's model writes by ctx goes nowhere: its [Leases] drop it.
package shadow
