package app

import (
	"context"
	"encoding/json"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

// opener opens a command's source when its first worker is ready: only then are the types of its events known.
func (b *bridge) opener(c program.Command, revoked func([]int32)) func(context.Context, []byte) (messaging.Source, error) {
	return func(ctx context.Context, describe []byte) (messaging.Source, error) {
		ctx, cancel := context.WithTimeout(ctx, openTime)
		defer cancel()
		conn, topic, err := b.input(ctx, c)
		if err != nil {
			return nil, err
		}
		source, err := conn.Source(ctx, messaging.SourceConfig{
			Topic: topic, Group: b.group(c), Schema: inputSchema(describe), OnRevoke: revoked,
			Start: b.start(c), Transactional: b.bySource(c),
		})
		if err != nil {
			return nil, err
		}
		if len(b.Only) > 0 {
			source = only(source, c.Input, b.Only)
		}
		return seededSource(source), nil
	}
}

// inputSchema is the JSON Schema of the input in a worker's description; nil when it sent none.
func inputSchema(describe []byte) []byte {
	var described struct {
		Input json.RawMessage `json:"input"`
	}
	if json.Unmarshal(describe, &described) != nil {
		return nil
	}
	return described.Input
}

// onlySource passes the chosen events of a source and drops the others, as if the input had never held them.
type onlySource struct {
	messaging.Source
	stream string
	ids    map[string]bool
}

func only(s messaging.Source, stream string, ids []string) messaging.Source {
	chosen := make(map[string]bool, len(ids))
	for _, id := range ids {
		chosen[id] = true
	}
	return &onlySource{Source: s, stream: stream, ids: chosen}
}

// Read implements messaging.Source.
func (s *onlySource) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		records, err := s.Source.Read(ctx, limit)
		if err != nil {
			return nil, err
		}
		kept := records[:0]
		for _, r := range records {
			if s.ids[fmt.Sprintf("%s/%d/%d", s.stream, r.Partition, r.Offset)] {
				kept = append(kept, r)
			}
		}
		if len(kept) > 0 {
			return kept, nil
		}
	}
}
