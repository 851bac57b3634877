package program_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/program"
)

type layerCase struct {
	Name   string   `json:"name"`
	File   string   `json:"file"`
	Env    string   `json:"env"`
	Params []string `json:"params"`
	Expect struct {
		Problems []struct {
			Place string `json:"place"`
			told
		} `json:"problems"`
		Program any               `json:"program"`
		Origins map[string]string `json:"origins"`
	} `json:"expect"`
}

func TestFilesAndParametersAreLaidOverEachOtherAsInPython(t *testing.T) {
	t.Chdir(filepath.Join(vectors, "layers"))
	var cases []layerCase
	readJSON(t, "cases.json", &cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.run(t) })
	}
}

func (c layerCase) run(t *testing.T) {
	file := "program.yaml"
	if c.File != "" {
		file = c.File
	}
	p, err := program.Load(file, program.Options{Env: c.Env, Params: c.Params})
	var refused *program.Error
	if errors.As(err, &refused) {
		got := tell(refused.Problems)
		for i, want := range c.Expect.Problems {
			if i >= len(got) || got[i] != want.told || (want.Place != "" && want.Place != refused.Problems[i].Place.String()) {
				t.Fatalf("got\n%v\nwant\n%s", refused, pretty(t, c.Expect.Problems))
			}
		}
		if len(got) != len(c.Expect.Problems) {
			t.Fatalf("got\n%v\nwant\n%s", refused, pretty(t, c.Expect.Problems))
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	origins := map[string]string{}
	for at, origin := range p.Origins() {
		origins[at] = strings.TrimPrefix(origin, file+":")
	}
	if got := again(t, p.Plain()); !reflect.DeepEqual(got, c.Expect.Program) || !reflect.DeepEqual(origins, c.Expect.Origins) {
		t.Errorf("got\n%s\n%s\nwant\n%s\n%s", pretty(t, got), pretty(t, origins), pretty(t, c.Expect.Program), pretty(t, c.Expect.Origins))
	}
}

func load(t *testing.T, text string) *program.Program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := program.Load(file, program.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const head = "apiVersion: ds-runner.dev/v1alpha1\nkind: Program\nmetadata: {name: p}\nspec:\n  model: a:B\n"

func TestTypedFieldsHoldWhatWasWritten(t *testing.T) {
	p := load(t, head+`  streams: {a: {}, b: {}}
  commands:
    - {name: score-stream, input: a, output: b, workers: auto, deadline: 0.1s, batch: {bytes: 1KiB, linger: 2ms}}
`)
	c, ok := p.Command("stream-score")
	if !ok || c.Workers != 0 || c.Deadline.Std().Milliseconds() != 100 || c.Batch.Bytes != 1024 || c.Batch.Events != 0 ||
		c.DeadLetter != "a.dead" || c.Breaker.Run != 20 {
		t.Errorf("%+v", c)
	}
	if _, ok := p.Command("nothing"); ok {
		t.Error("a command that nobody wrote")
	}
}

func TestABatchHasBoundsAndMayGrowWhereItSaysAuto(t *testing.T) {
	for _, c := range []struct {
		batch                                program.Batch
		events, bytes, mostEvents, mostBytes int
	}{
		{program.Batch{}, 256, 256 << 10, 4096, 4 << 20},
		{program.Batch{Bytes: 1000}, 256, 1000, 4096, 1000},
		{program.Batch{Events: 16}, 16, 256 << 10, 0, 0},
		{program.Batch{Events: 1024}, 1024, 1 << 20, 0, 0},
		{program.Batch{Events: 16384}, 16384, 4 << 20, 0, 0},
		{program.Batch{Events: 512, Bytes: 10}, 512, 10, 0, 0},
	} {
		events, bytes := c.batch.Bounds()
		mostEvents, mostBytes := c.batch.Most()
		if events != c.events || bytes != c.bytes || mostEvents != c.mostEvents || mostBytes != c.mostBytes {
			t.Errorf("%+v: %d, %d, up to %d, %d", c, events, bytes, mostEvents, mostBytes)
		}
	}
}

func TestSecretsAreReadByRevealAndNeverPrinted(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secretFile, []byte("f1le/s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DS_TEST_USER", "ada")
	t.Setenv("DS_TEST_PASSWORD", "p@ss/w:rd")
	p := load(t, head+`  connections:
    bus: {url: "nats://${env:DS_TEST_USER}:${env:DS_TEST_PASSWORD}@n:4222", settings: {token: "${file:`+secretFile+`}", n: 5}}
    whole: {url: "${env:DS_TEST_PASSWORD}"}
`)
	r, err := p.Reveal("bus")
	if err != nil {
		t.Fatal(err)
	}
	if r.URL != "nats://ada:p%40ss%2Fw%3Ard@n:4222" || r.Settings["token"] != "f1le/s3cret" || r.Settings["n"] != "5" {
		t.Errorf("%q %q", r.URL, r.Settings)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("open", "connection", r)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("open", "connection", r)
	printed := log.String() + r.String() + pretty(t, r) + pretty(t, p.Plain()) + r.Mask("dial nats://ada:p%40ss%2Fw%3Ard@n or f1le/s3cret")
	for _, secret := range []string{"p@ss", "p%40ss", "f1le"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%s in %s", secret, printed)
		}
	}
	if whole, err := p.Reveal("whole"); err != nil || whole.URL != "p@ss/w:rd" {
		t.Errorf("%q %v", whole.URL, err)
	}
}

func TestSecretsThatCannotBeReadAreToldTogetherWithTheirPlace(t *testing.T) {
	p := load(t, head+"  connections:\n    bus: {url: \"nats://${env:DS_TEST_ABSENT}@n\", settings: {token: \"${file:/nowhere/at/all}\"}}\n")
	_, err := p.Reveal("bus")
	var refused *program.Error
	if !errors.As(err, &refused) || len(refused.Problems) != 2 || refused.Problems[0].Place.Line != 7 {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"connections.bus.url: ${env:DS_TEST_ABSENT}: the variable is not set", "there is no such file"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func FuzzLoadGivesAProgramOrProblems(f *testing.F) {
	for _, pattern := range []string{"valid/*.yaml", "invalid/*.yaml"} {
		files, _ := filepath.Glob(filepath.Join(vectors, pattern))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(dir, "program.yaml")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := program.Load(file, program.Options{})
		var refused *program.Error
		if err != nil && (!errors.As(err, &refused) || len(refused.Problems) == 0) {
			t.Fatalf("neither a program nor problems: %v", err)
		}
	})
}
