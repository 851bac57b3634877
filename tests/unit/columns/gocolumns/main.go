// Gocolumns is package columns over pipes, so that a test can hold Python's decoder and encoder against it. Each line of standard input
// is a JSON object, and so is each line of standard output:
//
//	{"describe": {"columns": plan}, "events": [base64, ...]}
//	    -> {"taken": [bool, ...], "layout": [uint, ...], "body": base64, "unknown": [{"Name": str, "N": int}, ...]}
//	{"describe": {"columns": plan}, "rows": int, "layout": [uint, ...], "body": base64}
//	    -> {"documents": [base64, ...]}
//
// or {"error": str}.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

type question struct {
	Describe json.RawMessage
	Events   [][]byte
	Rows     int
	Layout   []uint64
	Body     []byte
}

type answer struct {
	Taken     []bool            `json:"taken,omitempty"`
	Layout    []uint64          `json:"layout,omitempty"`
	Body      []byte            `json:"body,omitempty"`
	Unknown   []columns.Unknown `json:"unknown,omitempty"`
	Documents [][]byte          `json:"documents,omitempty"`
	Error     string            `json:"error,omitempty"`
}

func main() {
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var q question
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		a, err := q.answer()
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := out.Encode(a); err != nil {
			log.Fatal(err)
		}
	}
}

func (q *question) answer() (a answer, err error) {
	plan, err := columns.ReadPlan(q.Describe)
	if err != nil || plan == nil {
		return a, errors.Join(err, errors.New("no plan"))
	}
	if q.Layout != nil {
		a.Documents, err = plan.Render(q.Rows, q.Layout, q.Body)
		return a, err
	}
	b := columns.NewBuilder(plan)
	for _, event := range q.Events {
		a.Taken = append(a.Taken, b.Add(event))
	}
	a.Layout, a.Unknown = b.Layout(nil), b.Unknown()
	a.Body = b.AppendBody(nil)
	return a, nil
}
