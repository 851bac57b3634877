package formats

import (
	"encoding/json"
	"errors"
	"testing"
)

// What comes out of any payload is JSON or a mistake, in memory that its size bounds.
func fuzzed(f *testing.F, s schema, seeds ...[]byte) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := guarded{s}.decode(payload)
		var mistake *Mistake
		switch {
		case err != nil && !errors.As(err, &mistake):
			t.Errorf("no mistake: %v", err)
		case err == nil && !json.Valid(got):
			t.Errorf("no JSON: %q", got)
		case len(got) > maxJSON+1<<20:
			t.Errorf("%d bytes of %d", len(got), len(payload))
		}
	})
}

func FuzzAvro(f *testing.F) {
	s, err := compileAvro(everything, nil, "")
	if err != nil {
		f.Fatal(err)
	}
	payload, err := s.encode(nil, []byte(everythingJSON))
	if err != nil {
		f.Fatal(err)
	}
	fuzzed(f, s, payload, payload[:50], nil)
}

func FuzzProtobuf(f *testing.F) {
	s, err := compileProtobuf(file, nil, "All")
	if err != nil {
		f.Fatal(err)
	}
	payload, err := s.encode(nil, []byte(allJSON))
	if err != nil {
		f.Fatal(err)
	}
	fuzzed(f, s, payload, payload[:50], nil)
}

func FuzzResults(f *testing.F) {
	avro, err := compileAvro(everything, nil, "")
	if err != nil {
		f.Fatal(err)
	}
	protobuf, err := compileProtobuf(file, nil, "All")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(everythingJSON))
	f.Add([]byte(allJSON))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, s := range []schema{guarded{avro}, guarded{protobuf}} {
			payload, err := s.encode(nil, text)
			var mistake *Mistake
			if err != nil && !errors.As(err, &mistake) {
				t.Errorf("no mistake: %v", err)
			}
			if err != nil {
				continue
			}
			if _, err := s.decode(payload); err != nil && !errors.As(err, &mistake) {
				t.Errorf("what was encoded does not decode: %v", err)
			}
		}
	})
}
