package columns_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

const vectors = "../../tests/vectors/events"

// An eventVector is an event and what becomes of it, by msgspec and, where Go is stricter, by Go.
type eventVector struct {
	JSON    *string
	Hex     string
	Row     map[string]any
	Refused bool
	Misfit  bool
	Unknown []string
	Why     string
}

func (v *eventVector) payload(t testing.TB) []byte {
	if v.JSON != nil {
		return []byte(*v.JSON)
	}
	payload, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

type eventFile struct {
	name    string
	Why     string
	Columns json.RawMessage
	Events  []eventVector
}

func (f *eventFile) plan(t testing.TB) *columns.Plan {
	t.Helper()
	return planOf(t, `{"columns":`+string(f.Columns)+`}`)
}

func eventFiles(t testing.TB) (files []eventFile) {
	paths, err := filepath.Glob(vectors + "/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file := eventFile{name: filepath.Base(path)}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if file.Events != nil {
			files = append(files, file)
		}
	}
	return files
}

func TestEachEventHasTheVerdictOfTheVectors(t *testing.T) {
	for _, file := range eventFiles(t) {
		t.Run(file.name, func(t *testing.T) {
			said := readColumns(t, file.Columns)
			b := columns.NewBuilder(file.plan(t))
			for i := range file.Events {
				b.Reset()
				if err := verdict(t, &file.Events[i], said, b); err != nil {
					t.Errorf("%s %v", file.Events[i].payload(t), err)
				}
			}
		})
	}
}

func verdict(t testing.TB, v *eventVector, said saidColumns, b *columns.Builder) error {
	taken := b.Add(v.payload(t))
	if taken != (!v.Refused && !v.Misfit) {
		return fmt.Errorf("is taken: %v", taken)
	}
	if !taken {
		if b.Rows() != 0 || b.Unknown() != nil {
			return fmt.Errorf("leaves %d rows and %v", b.Rows(), b.Unknown())
		}
		return nil
	}
	var names []string
	for _, u := range b.Unknown() {
		names = append(names, u.Name)
	}
	if slices.Sort(names); !slices.Equal(names, slices.Sorted(slices.Values(v.Unknown))) {
		return fmt.Errorf("has unknown %v, wants %v", names, v.Unknown)
	}
	return compare(said, rowsOf(t, said, b)[0], v.Row)
}

func compare(said saidColumns, got, want map[string]any) error {
	for _, f := range said.Fields {
		if err := same(f.Kind, f.Choices, got[f.Name], want[f.Name]); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// All events of a file in one batch, thrice, misfits between the others: nothing of them may show, and what was learnt of one event
// may not change what becomes of another.
func TestABatchHasWhatItsEventsHave(t *testing.T) {
	for _, file := range eventFiles(t) {
		t.Run(file.name, func(t *testing.T) {
			said := readColumns(t, file.Columns)
			b := columns.NewBuilder(file.plan(t))
			for round := range 3 {
				b.Reset()
				var want []map[string]any
				for range 10 * round {
					for i := range file.Events {
						v := &file.Events[i]
						if b.Add(v.payload(t)) {
							want = append(want, v.Row)
						}
					}
				}
				got := rowsOf(t, said, b)
				if len(got) != len(want) {
					t.Fatalf("%d rows, wants %d", len(got), len(want))
				}
				for row := range want {
					if err := compare(said, got[row], want[row]); err != nil {
						t.Fatalf("round %d, row %d: %v", round, row, err)
					}
				}
			}
		})
	}
}

// Every event, cut anywhere or with a byte changed, is taken or is a misfit; it does not run past its end.
func TestMutilatedEvents(t *testing.T) {
	for _, file := range eventFiles(t) {
		b := columns.NewBuilder(file.plan(t))
		for i := range file.Events {
			payload := file.Events[i].payload(t)
			if len(payload) > 400 {
				continue
			}
			b.Reset()
			for n := range payload {
				b.Add(payload[:n:n])
				changed := slices.Clone(payload)
				for _, c := range []byte{0, '"', '\\', '{', '}', ',', '0', 0x80, 0xff} {
					changed[n] = c
					b.Add(changed)
				}
			}
		}
	}
}
