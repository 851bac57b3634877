package columns_test

import (
	"fmt"
	"sync"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

const departures = `{"input": {}, "columns": {"unknown": "skip", "fields": [
 {"name": "flight_id", "wire": "flight_id", "kind": "str", "nullable": false},
 {"name": "origin", "wire": "origin", "kind": "category", "nullable": false, "choices": ["EWR", "JFK"]},
 {"name": "distance", "wire": "distance", "kind": "float", "nullable": false, "gt": 0},
 {"name": "dep_delay", "wire": "dep_delay", "kind": "float", "nullable": true, "default": null}],
 "outputs": [{"name": "flight_id", "wire": "flight_id", "kind": "str", "nullable": false},
 {"name": "origin", "wire": "origin", "kind": "category", "nullable": false, "choices": ["EWR", "JFK"]},
 {"name": "distance", "wire": "distance", "kind": "float", "nullable": false},
 {"name": "dep_delay", "wire": "dep_delay", "kind": "float", "nullable": true}]}}`

func planOf(t testing.TB, describe string) *columns.Plan {
	t.Helper()
	p, err := columns.ReadPlan([]byte(describe))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEventsComeBackAsAnswers(t *testing.T) {
	p := planOf(t, departures)
	b := columns.NewBuilder(p)
	for _, event := range []string{
		`{"flight_id":"UA-1","origin":"JFK","distance":1400,"dep_delay":2.5}`,
		` { "distance" : 1e2 , "origin":"EWR", "tail":{"a":[1,"x",null]}, "flight_id":"\u00e4\n" } `,
	} {
		if !b.Add([]byte(event)) {
			t.Fatalf("%s is a misfit", event)
		}
		for _, misfit := range []string{``, `{}`, event + "x", event[:len(event)-2], `{"flight_id":"x","origin":"JFK","distance":0}`} {
			if b.Add([]byte(misfit)) {
				t.Errorf("%s is taken", misfit)
			}
		}
	}
	layout := b.Layout(nil)
	body := b.AppendBody(nil)
	if len(body) != b.BodySize() {
		t.Errorf("a body of %d bytes, said to have %d", len(body), b.BodySize())
	}
	documents, err := p.Render(b.Rows(), layout, body)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"flight_id":"UA-1","origin":"JFK","distance":1400.0,"dep_delay":2.5}`,
		`{"flight_id":"ä\n","origin":"EWR","distance":100.0,"dep_delay":null}`,
	}
	for i := range want {
		if string(documents[i]) != want[i] {
			t.Errorf("row %d is %s, wants %s", i, documents[i], want[i])
		}
	}
	if u := b.Unknown(); len(u) != 1 || u[0] != (columns.Unknown{Name: "tail", N: 1}) {
		t.Errorf("unknown: %v", u)
	}
}

func TestNoPlan(t *testing.T) {
	for _, describe := range []string{``, `{}`, `{"columns": null}`} {
		if p, err := columns.ReadPlan([]byte(describe)); p != nil || err != nil {
			t.Errorf("%q: %v, %v", describe, p, err)
		}
	}
}

// A plan is everybody's: builders and answers of many goroutines at once.
func TestAPlanIsShared(t *testing.T) {
	p := planOf(t, departures)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			b := columns.NewBuilder(p)
			for i := range 100 {
				if !b.Add(fmt.Appendf(nil, `{"flight_id":"%d","origin":"JFK","distance":%d,"dep_delay":null,"extra %d":1}`, i, n+1, n)) {
					t.Error("a misfit")
				}
			}
			documents, err := p.Render(b.Rows(), b.Layout(nil), b.AppendBody(nil))
			want := fmt.Sprintf(`{"flight_id":"99","origin":"JFK","distance":%d.0,"dep_delay":null}`, n+1)
			if err != nil || string(documents[99]) != want || b.Unknown()[0].N != 100 {
				t.Errorf("%s, %v, %v; wants %s", documents[99], b.Unknown(), err, want)
			}
		})
	}
	all.Wait()
}
