package front

import (
	"net/http"
	"strings"
	"testing"
)

// hosted is a front of flights at version 3 that hosts fares at version 8.
func hosted(t *testing.T) *versioned {
	t.Helper()
	fares, err := New(Config{Program: "fares", Command: "serve-api"})
	if err != nil {
		t.Fatal(err)
	}
	v := newVersioned(t, Config{})
	v.front.Host(fares)
	v.expect(http.MethodGet, "/readyz", "", 503, `{"error":"starting","code":"not_ready"}`)
	v.serve(v.front.First(), "3", described)
	if status, _, text := v.ask(http.MethodGet, "/readyz", ""); status != 503 {
		t.Errorf("ready without one of its models: %s", text)
	}
	v.serve(fares.First(), "8", described)
	return v
}

func TestModelsBehindOneListenerAreAskedByTheirNames(t *testing.T) {
	v := hosted(t)
	v.until("ready", func() bool { status, _, _ := v.ask(http.MethodGet, "/readyz", ""); return status == 200 })
	tensors := `{"inputs":[{"name":"event","datatype":"BYTES","shape":[1],"data":["{}"]}]}`
	for _, c := range []struct{ method, path, body, version string }{
		{http.MethodPost, "/predict", `{}`, "3"}, {http.MethodPost, "/models/fares/predict", `{}`, "8"},
		{http.MethodPost, "/models/fares/predict", `[{},{}]`, "8"},
		{http.MethodPost, "/v2/models/flights/infer", tensors, "3"}, {http.MethodPost, "/v2/models/fares/infer", tensors, "8"},
		{http.MethodPost, "/v2/models/fares/versions/8/infer", tensors, "8"},
		{http.MethodGet, "/v2/models/fares", "", ""}, {http.MethodGet, "/v2/models/fares/ready", "", ""},
	} {
		status, header, text := v.ask(c.method, c.path, c.body)
		if status != 200 || header.Get("X-Model-Version") != c.version {
			t.Errorf("%s: %d by %q %s", c.path, status, header.Get("X-Model-Version"), text)
		}
	}
	for _, path := range []string{"/models/trains/predict", "/models/fares/metrics", "/models/fares", "/models/", "/v2/models/trains/infer", "/v2/models/fares/versions/3/infer"} {
		if status, _, text := v.ask(http.MethodPost, path, `{}`); status != 404 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestModelsBesideHaveDocsOfTheirOwn(t *testing.T) {
	v := hosted(t)
	v.until("ready", func() bool { status, _, _ := v.ask(http.MethodGet, "/readyz", ""); return status == 200 })
	for path, want := range map[string]string{
		"/models/fares/docs": "openapi.json", "/models/fares/openapi.json": `"/models/fares/predict":{"post"`, "/openapi.json": `"/predict":{"post"`,
	} {
		if status, _, text := v.ask(http.MethodGet, path, ""); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, _, text := v.ask(http.MethodGet, "/models/fares/openapi.json", ""); !strings.Contains(text, `"title":"fares"`) || strings.Contains(text, `"/predict"`) {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ := v.ask(http.MethodPost, "/models/fares/docs", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("POST to docs: %d", status)
	}
	guarded := &guard{file: &watched{}}
	for path, open := range map[string]bool{"/models/fares/docs": true, "/models/fares/openapi.json": false, "/models/fares/predict": false, "/models/a/b/docs": false} {
		request, _ := http.NewRequest(http.MethodGet, path, nil)
		if guarded.admits(request) != open {
			t.Errorf("%s without a token: %v", path, !open)
		}
	}
}
