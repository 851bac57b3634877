package shadow

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func TestEveryMetricOfTheTableIsCollectedUnderItsNameAndType(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, err := New(Config{Program: "p", Command: "c", Model: "3", Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	s.tally.add(&answer{}, &dispatch.Fate{Record: &messaging.Record{}}, []difference{{"a", 1, 1, 2}})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, f := range families {
		seen[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	for _, m := range table {
		if seen[m.Name] != m.Type {
			t.Errorf("%s is %q in the registry and %q in the table", m.Name, seen[m.Name], m.Type)
		}
		if !regexp.MustCompile(`^ds_shadow_[a-z_]+$`).MatchString(m.Name) || (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s: its name", m.Name)
		}
	}
	if len(seen) != len(table) {
		t.Errorf("%d metrics collected, %d in the table", len(seen), len(table))
	}
}

// An invalid label would be a panic in the scrape, and so the end of the bridge.
func TestAFieldWhoseNameIsNotUTF8IsScraped(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, err := New(Config{Program: "p", Command: "c", Model: "3", Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{outputs: [][]byte{[]byte("{\"a\xff\":1}")}}
	f := &dispatch.Fate{Record: &messaging.Record{}, Outputs: [][]byte{[]byte("{\"a\xff\":2}")}}
	s.tally.add(a, f, compare(a, f, tolerance{}))
	if field := s.Status().Fields[0].Field; !utf8.ValidString(field) {
		t.Fatalf("the label would be %q", field)
	}
	if _, err := reg.Gather(); err != nil {
		t.Fatal(err)
	}
}
