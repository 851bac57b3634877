package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

func withFleet(t *testing.T) *fixture {
	f := newFixture(t, "memory:")
	door, err := front.New(front.Config{Program: "m", Command: "serve-api"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { door.Close() })
	versions := fleet.New(fleet.Config{Command: "serve-api", Front: door, Settle: time.Second, Patience: time.Millisecond, Log: f.c.Log,
		Route: func(l *front.Lane, name string) *dispatch.Route {
			return l.Route(dispatch.Config{Program: "m", Command: name, Nonce: 7})
		}}, []string{"3", "4"}, map[string]int{"3": 9, "4": 1})
	f.c.Fleets = func() map[string]*fleet.Fleet { return map[string]*fleet.Fleet{"serve-api": versions} }
	return f
}

func TestVersionsAreTold(t *testing.T) {
	f := withFleet(t)
	got, err := f.call("versions")
	if err != nil || !strings.Contains(string(got.([]byte)), `{"serve-api":[{"name":"3","version":"","state":"loading"`) {
		t.Errorf("%s %v", got, err)
	}
	got, err = f.call("versions.watch", "", 0, 0, list{})
	want := `"versions":[{"name":"3","route":"serve-api@3","model":"","since":1},{"name":"4","route":"serve-api@4","model":"","since":1}],"asks":[]`
	if err != nil || !strings.Contains(string(got.([]byte)), want) {
		t.Errorf("%s %v", got, err)
	}
}

func TestCallsAboutVersionsSayWhatIsWrong(t *testing.T) {
	f := withFleet(t)
	for _, c := range []struct {
		code, said, method string
		args               list
	}{
		{"routed", "give them to another one first", "versions.unload", list{"serve-api", "3"}},
		{"unknown_version", "version 7 is not loaded", "versions.unload", list{"", "7"}},
		{"unknown_command", "Did you mean serve-api?", "versions.load", list{"serve-apis", "3"}},
		{"busy", "no parent of workers", "versions.load", list{"", "latest"}},
		{"bad_arguments", "none is more than 0", "versions.give", list{"", list{list{"3", 0}}}},
		{"bad_arguments", "weights[1]", "versions.give", list{"", list{list{"3", 1}, list{"4", -1}}}},
		{"bad_arguments", "weights", "versions.give", list{"", "3"}},
	} {
		_, err := f.call(c.method, c.args...)
		var told *wire.CallError
		if !errors.As(err, &told) || told.Code != c.code || !strings.Contains(told.Reason, c.said) {
			t.Errorf("%s %v: %v", c.method, c.args, err)
		}
	}
}

func TestWithoutACommandThatServesHTTPThereAreNoVersions(t *testing.T) {
	f := newFixture(t, "memory:")
	if got, err := f.call("versions"); err != nil || string(got.([]byte)) != "{}" {
		t.Errorf("%s %v", got, err)
	}
	var told *wire.CallError
	if _, err := f.call("versions.load", "", "3"); !errors.As(err, &told) || told.Code != "unknown_command" {
		t.Errorf("%v", err)
	}
}
