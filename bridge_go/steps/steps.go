// Package steps names the moments at which an ending hurts most, so that tests can end the bridge right there.
//
//	records, err := source.Read(ctx, limit)
//	steps.At(steps.AfterPoll)
//
// Without the build tag faults nothing of it is compiled in: At is empty and Wanted is false. With it, DS_STEP=after-poll:3
// in the environment kills the process by SIGKILL when it comes to that step for the third time, and nothing else is
// written, flushed or said. `ds-bridge steps` then prints the names.
package steps

// The steps, in the order in which an event meets them.
const (
	AfterPoll       = "after-poll"       // records are read; nobody has them yet
	AfterSend       = "after-send"       // a batch is on its way to a worker
	HalfResults     = "half-results"     // half of the results of a write are stored, the others not even sent
	DeadLettering   = "dead-lettering"   // dead letters are stored (exactly once: composed); their events are not settled
	TransactionEnd  = "transaction-end"  // records and positions are in the transaction; its end is not asked for
	TransactionSent = "transaction-sent" // its end is asked for; the answer has not come
	AfterProduce    = "after-produce"    // results are stored; the route has not been told
	BeforeCommit    = "before-commit"    // the events are settled; their positions are not committed
	Draining        = "draining"         // first: intake has stopped; second: all is stored, the last commit is due
)

// Names lists all steps.
func Names() []string {
	return []string{
		AfterPoll, AfterSend, HalfResults, DeadLettering, TransactionEnd, TransactionSent, AfterProduce, BeforeCommit, Draining,
	}
}
