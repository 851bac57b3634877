package file

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

const departure = `{"$ref": "#/$defs/Departure", "$defs": {"Departure": {"type": "object", "required": ["id", "distance", "delay", "late", "tags"],
	"properties": {
		"id": {"type": "string"}, "carrier": {"enum": ["UA", "B6"]}, "distance": {"type": "number"}, "seats": {"type": "integer", "default": 5},
		"delay": {"anyOf": [{"type": "number"}, {"type": "null"}]}, "late": {"type": ["boolean", "null"]},
		"note": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "tags": {"type": "array"}, "origin": {"$ref": "#/$defs/Origin"}}},
	"Origin": {"enum": ["JFK"]}}}`

func TestCells(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"types by the schema", "id,distance,delay,late,tags\n007,12.50,-3,True,[1]\n", []string{`{"id":"007","distance":12.50,"delay":-3,"late":true,"tags":[1]}`}},
		{"numbers that JSON writes otherwise", "id,distance\na,.5\nb,+7\nc,1.\nd,1e3\n",
			[]string{`{"id":"a","distance":0.5}`, `{"id":"b","distance":7}`, `{"id":"c","distance":1}`, `{"id":"d","distance":1e3}`}},
		{"what is no number stays text, for the model's check to name", "id,distance,late\na,twelve,perhaps\nb,0x10,1_0\nc,inf,\n",
			[]string{`{"id":"a","distance":"twelve","late":"perhaps"}`, `{"id":"b","distance":"0x10","late":"1_0"}`, `{"id":"c","distance":"inf","late":null}`}},
		{"missing values", "id,distance,delay,seats,note\n,,NA,,\n\"\",NaN,,NA,NA\n",
			[]string{`{"id":"","distance":null,"delay":null,"note":null}`, `{"id":"","distance":null,"delay":null,"note":"NA"}`}},
		{"quoted empty text is a text", "id,note\na,\"\"\n", []string{`{"id":"a","note":""}`}},
		{"unknown columns are text", "id,extra\na,12\n", []string{`{"id":"a","extra":"12"}`}},
		{"quotes, commas and line ends in cells", "id,note\n\"a,\"\"b\"\"\",\"x\ny\r\nz\"\nc,d\n", []string{`{"id":"a,\"b\"","note":"x\ny\nz"}`, `{"id":"c","note":"d"}`}},
		{"references and enums", "carrier,origin\nUA,JFK\n", []string{`{"carrier":"UA","origin":"JFK"}`}},
		{"a byte order mark and blank lines", "\xef\xbb\xbfid,note\r\n\r\na,b\r\n\n", []string{`{"id":"a","note":"b"}`}},
		{"a wrong number of cells spoils its row alone", "id,note\na\nb,c,d\ne,f\n",
			[]string{"!unreadable_line line 2", "!unreadable_line 3 cells, the header has 2", `{"id":"e","note":"f"}`}},
		{"a quote that never closes spoils its line alone", "id,note\na,\"b\nc,d\ne,f\n",
			[]string{"!unreadable_line not closed", `{"id":"c","note":"d"}`, `{"id":"e","note":"f"}`}},
		{"a quote in the middle of a cell", "id,note\na,b\"c\"\nd,e\n", []string{"!unreadable_line a quote in", `{"id":"d","note":"e"}`}},
		{"a row over the limit", "id,note\na," + strings.Repeat("x", 2000) + "\nb,c\n", []string{"!line_too_long line 2", `{"id":"b","note":"c"}`}},
		{"only a header", "id,note\n", nil},
		{"nothing at all", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a.csv", c.content)
			config := messaging.SourceConfig{Topic: "a.csv", Schema: []byte(departure)}
			got := readAll(t, connectTo(t, dir, "max_line=1000"), config)
			wants(t, got, c.want...)
			for _, r := range got {
				if r.Fault == nil && !json.Valid(r.Value) {
					t.Errorf("not JSON: %s", r.Value)
				}
			}
		})
	}
}

func TestABadHeaderIsAnErrorThatNamesTheColumn(t *testing.T) {
	for content, want := range map[string]string{"a,b,a\n1,2,3\n": `column 3 is named "a"`, "a,,c\n": `column 2 is named ""`} {
		dir := t.TempDir()
		put(t, dir, "a.csv", content)
		_, err := connectTo(t, dir, "").Source(context.Background(), messaging.SourceConfig{Topic: "a.csv"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestRowsAreResumedBehindACellWithLineEnds(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	put(t, dir, "a.csv", "id\n\"0\n0\"\n1\n\"2\n")
	config := messaging.SourceConfig{Topic: "a.csv", Group: "g"}
	for done := int64(0); done < 3; done++ {
		c := connectTo(t, dir, "")
		s, _ := c.Source(ctx, config)
		got, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 100})
		if err != nil || got[0].Offset != done || (done == 2) != (got[0].Fault != nil) {
			t.Fatalf("after %d: %+v, %v", done, got, err)
		}
		s.Commit(ctx, []messaging.Position{{Offset: done}})
		c.Close(ctx)
	}
}

func TestObjectsAreWrittenAsRows(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	write := func(values ...string) error {
		c := connectTo(t, dir, "")
		defer c.Close(ctx)
		s, err := c.Sink(ctx, messaging.SinkConfig{Topic: "out.csv", Group: "g"})
		if err != nil {
			t.Fatal(err)
		}
		var all []messaging.Outgoing
		for _, v := range values {
			all = append(all, messaging.Outgoing{Record: messaging.Record{Value: []byte(v)}})
		}
		return s.Write(ctx, all)
	}
	if err := write(`{"b":1.50,"a":"x,\"y\"\nz","c":null}`, `{"a":"","c":[1,2]}`); err != nil {
		t.Fatal(err)
	}
	err := write(`{"c":true,"b":2}`, `{"other":1}`, `7`, `{"b":3}`)
	var refused *messaging.WriteError
	if !errors.As(err, &refused) || len(refused.Failed) != 2 || !strings.Contains(err.Error(), "which has: b, a, c") {
		t.Fatalf("got %v", err)
	}
	got, _ := os.ReadFile(filepath.Join(dir, "out.csv"))
	want := "b,a,c\n1.50,\"x,\"\"y\"\"\nz\",\n,\"\",\"[1,2]\"\n2,,true\n3,,\n"
	if string(got) != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}
