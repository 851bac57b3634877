// Package dispatch runs one command: it reads events from a source, has workers score them, and writes their fates.
//
// The thinking is done by package delivery, which is pure. A [Route] is the coat around it: it says what time it is,
// carries bytes in and out, and writes down what happened.
//
// Goroutines of a route, who starts them and who ends them:
//
//	loop       Run itself. Owns the core and everything marked so in Route. Ends when all is settled, or drained.
//	writer     started by Run. Takes fates from the loop, one slice at a time, to the Outlet. Ends when Run closes its channel.
//	reader     started by the loop with a feed (an open source). Reads when the loop asks. Ends by the feed's context.
//	committer  started by the loop with a feed. Commits positions and asks for the lag. Ends when the loop closes its channel.
//
// Others (the connections' readers, the HTTP front, the control methods) call a route by the methods of [Pool], Status,
// Drain and Revoke: each puts a function into the loop's box. The box is bounded, so a connection whose frames come faster than
// the loop works is not read. The loop never waits for any of the others: its channels to them have room whenever it
// sends, since it sends only when they have said that they are done.
//
// There is one lock order to keep: none. The loop calls methods of Worker and Supervisor, which never block, and no one
// calls the loop with a lock held that those methods take.
package dispatch
