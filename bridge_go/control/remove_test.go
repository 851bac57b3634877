package control

import (
	"context"
	"errors"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// removing notes what is removed.
type removing struct {
	messaging.Connection
	removed []string
}

func (r *removing) Remove(_ context.Context, topic, group string) error {
	r.removed = append(r.removed, topic, group)
	return nil
}

// renamed gives streams topics of an audit.
type renamed struct {
	*fixture
	prefix string
}

func (r renamed) Open(_ context.Context, name string) (messaging.Connection, string, error) {
	return r.conn, r.prefix + name, nil
}

func TestOnlyTopicsOfAnAuditAreRemoved(t *testing.T) {
	f := newFixture(t, "memory:")
	var refused *wire.CallError

	f.c.Streams = renamed{f, "audit-7-"}
	if _, err := f.call("audit.remove", "departures", "audit-7/score-stream"); !errors.As(err, &refused) || refused.Code != "not_supported" {
		t.Errorf("in memory: %v", err)
	}
	keeper := &removing{Connection: f.conn}
	f.conn = keeper
	if _, err := f.call("audit.remove", "departures", "audit-7/score-stream"); err != nil {
		t.Fatal(err)
	}
	f.c.Streams = renamed{f, "theirs-"}
	if _, err := f.call("audit.remove", "departures", "audit-7/score-stream"); !errors.As(err, &refused) || refused.Code != "not_of_an_audit" {
		t.Errorf("a topic of somebody else: %v", err)
	}
	if want := []string{"audit-7-departures", "audit-7/score-stream"}; !slices.Equal(keeper.removed, want) {
		t.Errorf("removed %v, want %v", keeper.removed, want)
	}
}
