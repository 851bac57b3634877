package dispatch

import "ds-runner.dev/ds-runner/bridge_go/wire"

// A Worker is one events connection as the dispatcher sees it. Its methods never block and are safe from any goroutine:
// they put into the connection's queue, which the window bounds.
type Worker interface {
	// ID is the worker's name from its HELLO. A worker that dials again has the same one.
	ID() string
	Hello() *wire.Hello
	// Send queues a batch to the connection's writer. The batch is not changed afterwards by either side.
	Send(b *wire.Batch)
	Drain(reason string)
	Close(code wire.ByeCode, reason string)
}

// A Pool is what the server tells of the workers of one command. Calls for one worker come in order, from its reader
// goroutine; calls for different workers come from different goroutines. None of them waits for the network.
type Pool interface {
	// Join tells of a greeted worker. An error is the reason why it is refused, and goes to it with BYE 9; no other
	// method is then called for it. The server fills in the welcome's nonce and limits.
	Join(w Worker) (wire.Welcome, error)
	// Ready sets the worker's window; the first call makes leases possible.
	Ready(w Worker, events, bytes int)
	// Result settles events. A result of an unknown lease is counted and dropped inside.
	Result(w Worker, r *wire.Result)
	// Return gives a whole batch back.
	Return(w Worker, r *wire.Return)
	// Leave is called exactly once for a joined worker, after its socket has been read to its end. A nil err is a goodbye.
	Leave(w Worker, err error)
	// Supervise tells that a parent of workers has connected; the function returned is called when it has gone.
	Supervise(s Supervisor) (leave func())
	// Died is a parent's word on the end of a worker. Causes are those of PROTOCOL.md section 4.
	Died(worker, cause, detail string)
}

// A Supervisor is the connection of a parent of workers.
type Supervisor interface {
	// Cut asks it to end a worker. It never blocks.
	Cut(worker, reason string)
}
