package program_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/program"
)

const vectors = "../../tests/vectors/program"

// told is one problem of an .expect.json. Syntax errors are worded and placed by each language's YAML library: only their
// code is compared.
type told struct {
	Line int    `json:"line"`
	Col  int    `json:"col"`
	Path string `json:"path"`
	Code string `json:"code"`
	Text string `json:"text"`
}

func each(t *testing.T, pattern string, check func(t *testing.T, file string)) {
	t.Helper()
	t.Chdir(vectors)
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < 5 {
		t.Fatalf("too few vectors for %s: %d %v", pattern, len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { check(t, file) })
	}
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func beside(file, ending string) string { return strings.TrimSuffix(file, ".yaml") + ending }

func TestInvalidProgramsAreRefusedAsInPython(t *testing.T) {
	each(t, "invalid/*.yaml", func(t *testing.T, file string) {
		var want []told
		readJSON(t, beside(file, ".expect.json"), &want)
		_, err := program.Load(file, program.Options{})
		var refused *program.Error
		if !errors.As(err, &refused) {
			t.Fatalf("accepted, or another error: %v", err)
		}
		if got := tell(refused.Problems); !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%s\nwant\n%s", pretty(t, got), pretty(t, want))
		}
	})
}

func tell(found []program.Problem) []told {
	list := []told{}
	for _, p := range found {
		one := told{p.Place.Line, p.Place.Col, p.Path, p.Code, p.Text}
		if p.Code == "yaml" {
			one = told{Code: "yaml"}
		}
		list = append(list, one)
	}
	return list
}

func TestValidProgramsResolveAsInPython(t *testing.T) {
	each(t, "valid/*.yaml", func(t *testing.T, file string) {
		var want struct {
			Program any               `json:"program"`
			Origins map[string]string `json:"origins"`
		}
		readJSON(t, beside(file, ".resolved.json"), &want)
		p, err := program.Load(file, program.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := again(t, p.Plain()); !reflect.DeepEqual(got, want.Program) {
			t.Errorf("got\n%s\nwant\n%s", pretty(t, got), pretty(t, want.Program))
		}
		origins := map[string]string{}
		for at, origin := range p.Origins() {
			origins[at] = strings.TrimPrefix(origin, file+":")
		}
		if !reflect.DeepEqual(origins, want.Origins) {
			t.Errorf("got\n%s\nwant\n%s", pretty(t, origins), pretty(t, want.Origins))
		}
	})
}

// again passes a value through JSON, so that both sides have its types.
func again(t *testing.T, v any) (out any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func pretty(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
