// Package dispatchtest has what a test of a route needs around it: a [Log] to read from, [Worker]s that answer, a [Book]
// that keeps the fates, an [Audit] of what must hold, and outlets with seeded bugs, by which an audit shows that it can fail.
package dispatchtest
