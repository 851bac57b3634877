package redis

import (
	"context"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func TestOffsetsAreIDsInOneNumberAndKeepTheirOrder(t *testing.T) {
	ids := []id{{0, 1}, {0, 2}, {0, maxSeq}, {1, 0}, {1, 1}, {1700000000000, 0}, {1700000000000, 7}, {1700000000001, 0}, {maxMs, maxSeq}}
	last := int64(0)
	for _, i := range ids {
		offset, err := i.offset()
		if err != nil || offset <= last || idOf(offset) != i {
			t.Fatalf("%s is %d after %d and comes back as %s, %v", i, offset, last, idOf(offset), err)
		}
		if read, err := parseID(i.String()); err != nil || read != i {
			t.Fatalf("%s is read as %s, %v", i, read, err)
		}
		last = offset
	}
	for n := 1; n < len(ids); n++ {
		if ids[n-1].sortable() >= ids[n].sortable() {
			t.Fatalf("%s sorts behind %s", ids[n-1].sortable(), ids[n].sortable())
		}
	}
}

func TestIDsThatHaveNoNumberAreRefused(t *testing.T) {
	for _, i := range []id{{1, maxSeq + 1}, {maxMs + 1, 0}, {1<<64 - 1, 1<<64 - 1}} {
		if offset, err := i.offset(); err == nil || !strings.Contains(err.Error(), i.String()) {
			t.Fatalf("%s is %d, %v", i, offset, err)
		}
	}
	for _, text := range []string{"", "1", "1-", "-1", "a-b", "1-2-3", "18446744073709551616-0", "+1-1", "1--1"} {
		if i, err := parseID(text); err == nil {
			t.Errorf("%q was read as %s", text, i)
		}
	}
	topic := newTopic(t)
	c := server(t)
	c.run(t, "XADD", topic, "5-2000000", "a", "b")
	r := newReader(t, topic, "", hasty)
	_, err := r.s.Read(t.Context(), messaging.Limit{Events: 1, Bytes: 1})
	if err == nil || !strings.Contains(err.Error(), "5-2000000") {
		t.Fatalf("got %v", err)
	}
	if n := r.pending(); n != 1 {
		t.Fatalf("%d pending: the entry must not be lost by being refused", n)
	}
}

func TestEntriesOfOtherWritersAreObjectsOfTheirFields(t *testing.T) {
	topic := newTopic(t)
	c := server(t)
	c.run(t, "XADD", topic, "1700000000000-1", "user", "ann", "n", "7", "quote", "\"\n")
	c.run(t, "XADD", topic, "*", "ds", "2")              // of a layout that is not known: an object like any other
	c.run(t, "XADD", topic, "*", "x", "1", "x", "2")     // two fields of one name are no object
	c.run(t, "XADD", topic, "*", "x", "\xff")            // nor is what is no text
	c.run(t, "XADD", topic, "*", "ds", "1", "value", "") // one of ours
	got := newReader(t, topic, "", hasty).read(5)
	for i, want := range []string{`{"n":"7","quote":"\"\n","user":"ann"}`, `{"ds":"2"}`, `{"x":"2"}`, "", ""} {
		if value := string(got[i].Value); want != "" && value != want {
			t.Errorf("entry %d is %s, want %s", i, value, want)
		}
		if broken := got[i].Fault != nil; broken != (i == 2 || i == 3) {
			t.Errorf("entry %d: fault %v", i, got[i].Fault)
		}
	}
	if got[0].Time != 1700000000000*1e6 {
		t.Errorf("its time is %d", got[0].Time)
	}
	if reason := got[2].Fault.Reason; !strings.Contains(reason, `"x" occurs twice`) || !strings.Contains(reason, "value_field") {
		t.Error(reason)
	}
}

func TestAFieldOfOtherWritersCanBeTheValue(t *testing.T) {
	topic := newTopic(t)
	c := server(t)
	c.run(t, "XADD", topic, "*", "payload", "\xff\x00", "x", "1", "x", "2")
	c.run(t, "XADD", topic, "*", "other", "1")
	got := newReader(t, topic, "", map[string]string{"value_field": "payload"}).read(2)
	if string(got[0].Value) != "\xff\x00" || got[0].Fault != nil {
		t.Errorf("%q, %v", got[0].Value, got[0].Fault)
	}
	if got[1].Fault == nil || !strings.Contains(got[1].Fault.Reason, "payload") {
		t.Errorf("%v", got[1].Fault)
	}
}

func TestAFaultyEntryOfOursIsAFaultAndNoMore(t *testing.T) {
	topic := newTopic(t)
	server(t).run(t, "XADD", topic, "*", "ds", "1", "headers", "\x05ab", "value", "v", "time", "soon", "x", "y")
	if got := newReader(t, topic, "", hasty).read(1)[0]; got.Fault == nil || string(got.Value) != "v" {
		t.Fatalf("%+v", got)
	}
}

func TestTheKeyOfAnotherTypeIsRefusedByName(t *testing.T) {
	topic := newTopic(t)
	c := server(t)
	c.run(t, "SET", topic, "x")
	if _, err := c.Source(context.Background(), messaging.SourceConfig{Topic: topic, Group: group}); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Fatalf("got %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack([]messaging.Header{{Name: "a", Value: []byte("b")}, {Name: "", Value: []byte{}}, {Name: "null"}}))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Add("\x01a\x80")
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := unpack(text)
		if err != nil {
			return
		}
		again, err := unpack(pack(headers))
		if err != nil || len(again) != len(headers) {
			t.Fatalf("%d headers became %d, %v", len(headers), len(again), err)
		}
	})
}
