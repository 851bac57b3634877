package columns_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

// answers have the fields of `everything`, without what is said of events alone.
const answers = `{"unknown": "skip", "fields": [], "outputs": [
 {"name": "f", "wire": "f", "kind": "float", "nullable": true},
 {"name": "x", "wire": "x", "kind": "float", "nullable": false},
 {"name": "i", "wire": "i", "kind": "int", "nullable": false},
 {"name": "b", "wire": "b", "kind": "bool", "nullable": false},
 {"name": "s", "wire": "s", "kind": "str", "nullable": true},
 {"name": "a", "wire": "\u00e4", "kind": "str", "nullable": false},
 {"name": "c", "wire": "c", "kind": "category", "nullable": true, "choices": ["JFK", "", 7, "7"]},
 {"name": "t", "wire": "t", "kind": "datetime", "nullable": true},
 {"name": "d", "wire": "d", "kind": "date", "nullable": true}]}`

// eventsAsAnswers are rows of `everything` with their body, and what they are as answers.
func eventsAsAnswers(t testing.TB, rows int) (layout []uint64, body []byte, documents []string) {
	t.Helper()
	event := `{"f":null,"x":-0.5,"i":-7,"b":false,"s":"a\"\\\n\u0001é","ä":"","c":7,"t":"1969-12-31T23:59:59.000001Z","d":"0001-01-01"}`
	other := `{"f":1e-7,"x":100.0,"i":9223372036854775807,"b":true,"s":null,"ä":"😀","c":"7","t":null,"d":null}`
	b := columns.NewBuilder(planOf(t, `{"columns":`+everything+`}`))
	for row := range rows {
		payload := []string{event, other}[row%2]
		if !b.Add([]byte(payload)) {
			t.Fatal(payload)
		}
		documents = append(documents, payload)
	}
	return b.Layout(nil), b.AppendBody(nil), documents
}

func TestAnswersAreRendered(t *testing.T) {
	p := planOf(t, `{"columns":`+answers+`}`)
	for _, rows := range []int{0, 1, 2, 7, 8, 9, 65, 300} { // texts one by one, and as words
		layout, body, want := eventsAsAnswers(t, rows)
		got, err := p.Render(rows, layout, body)
		if err != nil || len(got) != rows {
			t.Fatalf("%d rows: %d, %v", rows, len(got), err)
		}
		for row := range want {
			if string(got[row]) != want[row] {
				t.Fatalf("row %d is %s, wants %s", row, got[row], want[row])
			}
			if cap(got[row]) != len(got[row]) {
				t.Fatal("appending to a document would write into the next")
			}
		}
	}
}

// What a hostile worker may say of a body, each by one number of the layout of column i, or one change in the body.
func TestAnswersThatCannotBe(t *testing.T) {
	p := planOf(t, `{"columns":`+answers+`}`)
	const rows = 300
	type answer struct {
		rows   int
		layout []uint64
		body   []byte
	}
	at := func(a *answer, column, number int) *uint64 { return &a.layout[10*column+number] }
	bytesAt := func(a *answer, column, number int) []byte { return a.body[*at(a, column, number):] }
	for name, spoil := range map[string]func(*answer){
		"a row more":              func(a *answer) { a.rows++ },
		"a row less":              func(a *answer) { a.rows-- },
		"no rows":                 func(a *answer) { a.rows = 0 },
		"fewer than no rows":      func(a *answer) { a.rows = -1 },
		"no layout":               func(a *answer) { a.layout = nil },
		"a number less":           func(a *answer) { a.layout = a.layout[:89] },
		"a column more":           func(a *answer) { a.layout = append(a.layout, make([]uint64, 10)...) },
		"no body":                 func(a *answer) { a.body = nil },
		"another encoding":        func(a *answer) { *at(a, 0, 0) = 1 },
		"no such encoding":        func(a *answer) { *at(a, 0, 0) = 8 },
		"an encoding beyond byte": func(a *answer) { *at(a, 0, 0) = 256 },
		"text for words":          func(a *answer) { *at(a, 4, 0) = 3 },
		"outside of the body":     func(a *answer) { *at(a, 1, 4) = uint64(len(a.body)+63) &^ 63 },
		"far outside":             func(a *answer) { *at(a, 1, 4) = 1 << 63 },
		"a sum that overflows":    func(a *answer) { *at(a, 1, 4), *at(a, 1, 5) = 64, math.MaxUint64 },
		"not aligned":             func(a *answer) { *at(a, 2, 4) += 8 },
		"data too short":          func(a *answer) { *at(a, 2, 5) -= 8 },
		"data of no length":       func(a *answer) { *at(a, 2, 5) = 0 },
		"nulls where none may be": func(a *answer) { *at(a, 1, 1) = 1 },
		"a null less":             func(a *answer) { *at(a, 0, 1)-- },
		"a null more":             func(a *answer) { *at(a, 0, 1)++ },
		"no nulls, not a number":  func(a *answer) { *at(a, 0, 1) = 0 },
		"a bitmap too short":      func(a *answer) { *at(a, 0, 3)-- },
		"infinite":                func(a *answer) { binary.LittleEndian.PutUint64(bytesAt(a, 1, 4), math.Float64bits(math.Inf(1))) },
		"not a number":            func(a *answer) { binary.LittleEndian.PutUint64(bytesAt(a, 1, 4), math.Float64bits(math.NaN())) },
		"neither true nor false":  func(a *answer) { bytesAt(a, 3, 4)[7] = 2 },
		"a word that is not":      func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 4, 4), 9) },
		"a word below all":        func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 4, 4), 1<<31) },
		"null by code alone":      func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 5, 4), math.MaxUint32) },
		"a choice that is not":    func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 6, 4), 4) },
		"offsets that turn":       func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 5, 6), 4) },
		"offsets behind the text": func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 5, 6)[8:], 1<<20) },
		"offsets below all":       func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 5, 6)[8:], math.MaxUint32) },
		"half a character":        func(a *answer) { binary.LittleEndian.PutUint32(bytesAt(a, 5, 6)[8:], 2) },
		"not UTF-8":               func(a *answer) { bytesAt(a, 5, 8)[0] = 0xff },
		"a surrogate":             func(a *answer) { copy(bytesAt(a, 5, 8), "\xed\xa0\x80") },
		"offsets of half a number": func(a *answer) {
			*at(a, 5, 7) -= 2
		},
		"offsets of a number": func(a *answer) { *at(a, 1, 6), *at(a, 1, 7) = 0, 8 },
		"text of a number":    func(a *answer) { *at(a, 1, 8), *at(a, 1, 9) = 0, 8 },
		"before the year 1":   func(a *answer) { binary.LittleEndian.PutUint64(bytesAt(a, 8, 4), ^uint64(719162)) },
		"after the year 9999": func(a *answer) { binary.LittleEndian.PutUint64(bytesAt(a, 8, 4), 2932897) },
		"no time, not null":   func(a *answer) { binary.LittleEndian.PutUint64(bytesAt(a, 7, 4), 1<<63) },
		"a time too late":     func(a *answer) { binary.LittleEndian.PutUint64(bytesAt(a, 7, 4), 253_402_300_800_000_000) },
	} {
		t.Run(name, func(t *testing.T) {
			layout, body, _ := eventsAsAnswers(t, rows)
			a := &answer{rows, layout, body}
			spoil(a)
			if documents, err := p.Render(a.rows, a.layout, a.body); err == nil {
				t.Errorf("is rendered, as %s", documents[0])
			}
		})
	}
}

func TestAFewWordsAreNotManyDocuments(t *testing.T) {
	p := planOf(t, `{"columns": {"unknown": "skip", "fields": [], "outputs": [{"name": "s", "kind": "str"}]}}`)
	const rows, size = 16_000, 1 << 16 // one word in every row
	body := make([]byte, 4*rows+64+size)
	binary.LittleEndian.PutUint32(body[4*rows+4:], size)
	_, err := p.Render(rows, []uint64{4, 0, 0, 0, 0, 4 * rows, 4 * rows, 8, 4*rows + 64, size}, body)
	if !errors.Is(err, columns.ErrRendered) {
		t.Fatal(err)
	}
}

// Floats are spelt as Python spells them in JSON, and read back as they were.
func TestFloatsStayFloats(t *testing.T) {
	p := planOf(t, `{"columns": {"unknown": "skip", "fields": [], "outputs": [{"name": "x", "kind": "float"}]}}`)
	for v, want := range map[float64]string{
		0: "0.0", math.Copysign(0, -1): "-0.0", 1: "1.0", -1.5: "-1.5", 1e15: "1000000000000000.0", 1e16: "1e16", 123456789012345680: "1.2345678901234568e17",
		1e-5: "0.00001", 1e-6: "1e-6", 1.5e-7: "1.5e-7", 5e-324: "5e-324", 1e300: "1e300", 0.30000000000000004: "0.30000000000000004", 1e100: "1e100",
	} {
		body := binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
		got, err := p.Render(1, []uint64{0, 0, 0, 0, 0, 8, 0, 0, 0, 0}, body)
		if err != nil || string(got[0]) != `{"x":`+want+`}` {
			t.Errorf("%v is %s, wants %s (%v)", v, got, want, err)
		}
	}
}

func TestAnswersNeedOutputs(t *testing.T) {
	p := planOf(t, `{"columns": {"unknown": "skip", "fields": [], "outputs": null}}`)
	if p.Answers() {
		t.Error("answers without outputs")
	}
	if _, err := p.Render(5, nil, nil); err == nil {
		t.Error("rendered without outputs")
	}
}

// Whatever a worker sends is refused, or is as many JSON documents as there are rows.
func FuzzRender(f *testing.F) {
	p := planOf(f, `{"columns":`+answers+`}`)
	for _, rows := range []int{0, 1, 2, 9, 20} {
		layout, body, _ := eventsAsAnswers(f, rows)
		f.Add(uint16(rows), packed(layout), body)
	}
	f.Fuzz(func(t *testing.T, rows uint16, numbers, body []byte) {
		var layout []uint64
		for n := range slices.Chunk(numbers, 2) { // two bytes are enough for any place in a short body
			layout = append(layout, uint64(int16(binary.LittleEndian.Uint16(append(n, 0)[:2]))))
		}
		documents, err := p.Render(int(rows), layout, body)
		if err == nil && len(documents) != int(rows) {
			t.Fatalf("%d documents of %d rows", len(documents), rows)
		}
		for _, d := range documents {
			if !plainlyJSON(d) || !json.Valid(d) {
				t.Fatalf("%s is not JSON", d)
			}
		}
	})
}

func packed(layout []uint64) (b []byte) {
	for _, n := range layout {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
	}
	return b
}
