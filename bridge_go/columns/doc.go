// Package columns turns events into columns and columns into answers, by a plan that a worker sends.
//
// A worker whose model takes a frame, a table or arrays says in its HELLO what an event is: names, kinds, constraints. ReadPlan
// makes a Plan of that. A Builder takes JSON payloads one by one: each becomes a row, or is a misfit and leaves nothing behind. What
// it holds is then one body of aligned buffers and the numbers that say where each lies (PROTOCOL.md, section on columns).
// Render is the way back: a body that a worker made becomes one JSON document a row.
//
// The parser never takes what msgspec refuses, and finds the values that msgspec finds: tests/vectors/events has the verdicts, read
// by Go and by Python. What it refuses beyond that (numbers of hundreds of digits, exponents of five, nesting deeper than 64, times
// whose instant is outside the years 1 to 9999) Python decodes itself, so it costs time and changes nothing.
//
// Fuzz the parser with
//
//	go test ./bridge_go/columns -run '^$' -fuzz FuzzAdd                          # against encoding/json
//	GOEXPERIMENT=jsonv2 go test ./bridge_go/columns -run '^$' -fuzz FuzzAdd      # against json/v2
//	DS_DIFFERENTIAL=1000 pytest tests/unit/columns/test_differential.py          # against msgspec, by drawn classes and events
//
// Nothing here waits, logs or reads a clock. A Plan is shared; a Builder has one user at a time.
package columns
