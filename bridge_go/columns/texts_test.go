package columns_test

import (
	"bytes"
	"fmt"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

const texts = `{"unknown": "skip", "fields": [{"name": "s", "kind": "str", "nullable": true, "default": null}, {"name": "n", "kind": "int", "default": 0}]}`

// few says of row r: one of `words` texts, or null.
func few(r, words int) string {
	if r%11 == 10 {
		return `{"s":null}`
	}
	return fmt.Sprintf(`{"s":"word %d"}`, r%words)
}

// How a column of texts goes is for its batch to say; what it says is the same.
func TestTextsGoAsWordsWhereTheyAreFew(t *testing.T) {
	const asText, asWords = 3, 4
	said := readColumns(t, []byte(texts))
	b := columns.NewBuilder(planOf(t, `{"columns":`+texts+`}`))
	for _, batch := range []struct{ rows, words, as int }{
		{1, 1, asText}, {7, 1, asText}, {8, 2, asWords}, {300, 5, asWords}, {300, 40, asWords}, {300, 120, asWords},
		{2000, 1000, asText}, {300, 5, asText}, // too many, and then it is not asked for a while
	} {
		b.Reset()
		for row := range batch.rows {
			if !b.Add([]byte(few(row, batch.words))) {
				t.Fatal(row)
			}
			if b.Add(fmt.Appendf(nil, `{"s":"of a misfit %d","n":"x"}`, row)) {
				t.Fatal("a text for an int")
			}
		}
		if as := b.Layout(nil)[0]; as != uint64(batch.as) {
			t.Errorf("%d words in %d rows go as %d", batch.words, batch.rows, as)
		}
		for row, got := range rowsOf(t, said, b) {
			want := any(fmt.Sprintf("word %d", row%batch.words))
			if row%11 == 10 {
				want = nil
			}
			if got["s"] != want {
				t.Fatalf("%d words: row %d is %v, wants %v", batch.words, row, got["s"], want)
			}
		}
	}
	for range 20 { // and in the end it is asked again
		b.Reset()
		for row := range 300 {
			b.Add([]byte(few(row, 5)))
		}
	}
	if as := b.Layout(nil)[0]; as != asWords {
		t.Errorf("few words go as %d after many batches", as)
	}
}

// The words of misfits are not sent.
func TestMisfitsLeaveNoWords(t *testing.T) {
	b := columns.NewBuilder(planOf(t, `{"columns":`+texts+`}`))
	for range 20 {
		b.Add([]byte(`{"s":"kept"}`))
		b.Add([]byte(`{"s":"secret","s":"other","n":1.5}`))
	}
	body := b.AppendBody(nil)
	if !bytes.Contains(body, []byte("kept")) || bytes.Contains(body, []byte("secret")) || bytes.Contains(body, []byte("other")) {
		t.Errorf("the body is %q", body)
	}
}

// What lies between the buffers is zeros, whatever was in the memory before.
func TestNothingShowsBetweenBuffers(t *testing.T) {
	b := columns.NewBuilder(planOf(t, clicks))
	batch(t, b, clickEvents(3))
	dirty := bytes.Repeat([]byte{'x'}, 1<<16)
	if !bytes.Equal(b.AppendBody(dirty[:0]), b.AppendBody(nil)) {
		t.Error("the body has bytes that were in its memory")
	}
}

// Nothing is allocated once a builder has seen a batch: the figure of event_parse_us is not the collector's.
func TestABatchAllocatesNothing(t *testing.T) {
	b := columns.NewBuilder(planOf(t, clicks))
	events := clickEvents(256)
	var layout []uint64
	var body []byte
	whole := func() {
		batch(t, b, events)
		layout = b.Layout(layout[:0])
		body = b.AppendBody(body[:0])
	}
	whole()
	if n := testing.AllocsPerRun(20, whole); n > 1 {
		t.Errorf("%v allocations a batch", n)
	}
}
