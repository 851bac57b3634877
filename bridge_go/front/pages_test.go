package front

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTheOpenAPIDocumentHoldsTheEventTypesAndNoBrokenReference(t *testing.T) {
	r := newRig(t, Config{}).ready()
	_, _, text := r.ask("GET", "/openapi.json", "")
	var document struct {
		OpenAPI    string
		Info       struct{ Title string }
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	if document.OpenAPI != "3.1.0" || document.Info.Title != "flights" {
		t.Errorf("%+v", document)
	}
	for _, name := range []string{"Row", "Prediction", "Departure", "Estimate", "Plane", "Plane_"} {
		if document.Components.Schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	for _, part := range strings.Split(text, `"$ref":"`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		name, ours := strings.CutPrefix(ref, "#/components/schemas/")
		if !ours || document.Components.Schemas[name] == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	if strings.Contains(text, "$defs") {
		t.Error("$defs were left in place")
	}
}

func TestTheDocumentShowsRowsOfTheSampleAsTheyWere(t *testing.T) {
	r := newRig(t, Config{}).ready()
	_, _, text := r.ask("GET", "/openapi.json", "")
	for _, want := range []string{
		`"examples":{"list":{"value":[{"flight_id":"a","distance":1400,"dep_delay":12},{"flight_id":"b","distance":700,"dep_delay":null}]},` +
			`"row":{"value":{"flight_id":"a","distance":1400,"dep_delay":12}}}`,
		`"examples":{"list":{"value":{"errors":[null],"predictions":[{"arr_delay":12,"late":false}]}},"row":{"value":{"arr_delay":12,"late":false}}}`,
		`"examples":[{"flight_id":"a","distance":1400,"dep_delay":12},`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "securitySchemes") {
		t.Error("a token is spoken of")
	}
}

func TestTheDocumentOfAGuardedServerNamesTheToken(t *testing.T) {
	var document struct {
		Security   []map[string][]string
		Paths      map[string]map[string]struct{ Security []any }
		Components struct{ SecuritySchemes map[string]any }
	}
	if err := json.Unmarshal(buildOpenAPI("flights", "/", &types{}, true), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Security) != 1 || document.Components.SecuritySchemes["token"] == nil {
		t.Errorf("%+v", document)
	}
	if probe := document.Paths["/readyz"]["get"].Security; probe == nil || len(probe) != 0 {
		t.Error("a probe seems to want a token")
	}
}

func TestBeforeAWorkerIsThereTheDocumentTakesAnyObject(t *testing.T) {
	r := newRig(t, Config{})
	if status, _, text := r.ask("GET", "/openapi.json", ""); status != 200 || !strings.Contains(text, `"Row":{"type":"object"}`) {
		t.Errorf("%d %s", status, text)
	}
}

func TestTheDocsPageNeedsNoNetwork(t *testing.T) {
	r := newRig(t, Config{})
	for _, path := range []string{"/docs", "/docs.js"} {
		status, h, text := r.ask("GET", path, "")
		if status != 200 || strings.Contains(text, "http://") || strings.Contains(text, "https://") || strings.Contains(text, `"//`) {
			t.Errorf("%s: %d, or something from elsewhere", path, status)
		}
		if path == "/docs" && !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("policy %q", h.Get("Content-Security-Policy"))
		}
	}
	if status, h, _ := r.ask("GET", "/", ""); status != 307 || h.Get("Location") != "/docs" {
		t.Errorf("%d %s", status, h.Get("Location"))
	}
}

func TestMetricsCountRequestsAndRowsAndAreAllInTheTable(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := newRig(t, Config{Registerer: registry, Gatherer: registry}).ready()
	r.ask("POST", "/predict", `[{"dep_delay":1},{"ask":"reject"},{"ask":"fail"}]`)
	r.ask("POST", "/predict", `nonsense`)
	answer, err := http.Get(r.server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, _ := io.ReadAll(answer.Body)
	for _, want := range []string{
		`ds_http_requests_total{command="serve-api",page="predict",program="flights",status="200"} 1`,
		`ds_http_requests_total{command="serve-api",page="predict",program="flights",status="400"} 1`,
		`ds_http_rows_total{command="serve-api",fate="scored",program="flights"} 1`,
		`ds_http_rows_total{command="serve-api",fate="rejected",program="flights"} 1`,
		`ds_http_rows_total{command="serve-api",fate="failed",program="flights"} 1`,
		`ds_http_request_seconds_count{command="serve-api",page="predict",program="flights"} 2`,
		`ds_http_queue_rows{command="serve-api",program="flights"} 0`,
		`ds_http_connections{command="serve-api",program="flights",protocol="grpc"} 0`,
		`ds_http_version_weight{command="serve-api",program="flights",version="3"} 1`,
	} {
		if !strings.Contains(string(data), want+"\n") {
			t.Errorf("no %s in\n%s", want, data)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range Table {
		known[m.Name] = true
	}
	for _, family := range families {
		if !known[family.GetName()] {
			t.Errorf("%s is not in the table", family.GetName())
		}
	}
}
