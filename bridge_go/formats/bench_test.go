package formats

import (
	"testing"
	"time"
)

const departure = `{"type":"record","name":"Departure","fields":[
 {"name":"flight_id","type":"string"},{"name":"carrier","type":"string"},{"name":"origin","type":"string"},{"name":"dest","type":"string"},
 {"name":"dep_delay","type":["null","double"]},{"name":"distance","type":"int"},
 {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}`

// One event of the size that benchmarks use, from its payload to the JSON that a model reads, and back.
func BenchmarkAvro(b *testing.B) {
	s, err := compileAvro(departure, nil, "")
	if err != nil {
		b.Fatal(err)
	}
	bench(b, s, `{"at":"`+time.Unix(1e9, 0).UTC().Format(time.RFC3339)+`","carrier":"UA","dep_delay":2.5,"dest":"IAH","distance":1400,"flight_id":"2013-01-01-UA-1545","origin":"EWR"}`)
}

func BenchmarkProtobuf(b *testing.B) {
	s, err := compileProtobuf(`syntax = "proto3"; message Departure { string flight_id = 1; string carrier = 2; string origin = 3;
	 string dest = 4; optional double dep_delay = 5; int32 distance = 6; }`, nil, "")
	if err != nil {
		b.Fatal(err)
	}
	bench(b, s, `{"flight_id":"2013-01-01-UA-1545","carrier":"UA","origin":"EWR","dest":"IAH","dep_delay":2.5,"distance":1400}`)
}

func bench(b *testing.B, s schema, json string) {
	payload, err := s.encode(nil, []byte(json))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.decode(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.encode(nil, []byte(json)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
