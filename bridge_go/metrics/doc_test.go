package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write METRICS.md anew")

func TestEveryMetricIsInItsPage(t *testing.T) {
	page := markdown()
	if *update {
		if err := os.WriteFile("METRICS.md", []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("METRICS.md")
	if err != nil || string(have) != page {
		t.Fatalf("METRICS.md is not current (%v): go test ./bridge_go/metrics -update", err)
	}
}

func markdown() string {
	var b strings.Builder
	b.WriteString("# Metrics of a route\n\nAll have the labels `program` and `command` besides those named.\n\n")
	b.WriteString("| name | type | labels | what |\n|---|---|---|---|\n")
	for _, m := range Table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
	}
	return b.String()
}
