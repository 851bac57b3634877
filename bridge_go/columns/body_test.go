package columns_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

// saidColumns is a plan as tests need it to read a body back.
type saidColumns struct {
	Fields []struct {
		Name, Wire, Kind string
		Choices          []any
	}
}

func readColumns(t testing.TB, plan []byte) saidColumns {
	t.Helper()
	var said saidColumns
	d := json.NewDecoder(bytes.NewReader(plan))
	d.UseNumber()
	if err := d.Decode(&said); err != nil {
		t.Fatal(err)
	}
	return said
}

// rowsOf reads what a builder holds from its layout and body alone, as a worker does: float64, int64, bool, string or nil; codes
// as numbers of choices, times as microseconds, dates as days. It fails the test where the layout breaks a rule.
func rowsOf(t testing.TB, said saidColumns, b *columns.Builder) []map[string]any {
	t.Helper()
	layout := b.Layout(nil)
	body := b.AppendBody([]byte("in front"))[len("in front"):]
	if len(body) != b.BodySize() {
		t.Fatalf("a body of %d bytes, said to have %d", len(body), b.BodySize())
	}
	if len(layout) != 10*len(said.Fields) {
		t.Fatalf("%d numbers of layout for %d fields", len(layout), len(said.Fields))
	}
	rows := make([]map[string]any, b.Rows())
	for row := range rows {
		rows[row] = map[string]any{}
	}
	for i, f := range said.Fields {
		for row, v := range columnOf(t, layout[10*i:10*i+10], body, b.Rows()) {
			rows[row][f.Name] = v
		}
	}
	return rows
}

func columnOf(t testing.TB, layout []uint64, body []byte, rows int) []any {
	t.Helper()
	var parts [4][]byte
	for k := range parts {
		at, n := layout[2+2*k], layout[3+2*k]
		if at%64 != 0 || n == 0 && at != 0 {
			t.Fatalf("part %d at %d+%d", k, at, n)
		}
		parts[k] = body[at : at+n]
	}
	validity, data, offsets, text := parts[0], parts[1], parts[2], parts[3]
	u32 := func(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	u64 := func(i int) uint64 { return binary.LittleEndian.Uint64(data[8*i:]) }
	word := func(i int) string { return string(text[u32(offsets, i):u32(offsets, i+1)]) }
	values, nulls := make([]any, rows), uint64(0)
	for row := range values {
		var v any
		null := false // the value that stands for null
		switch layout[0] {
		case 0:
			f := math.Float64frombits(u64(row))
			v, null = f, math.IsNaN(f)
		case 1:
			v, null = int64(u64(row)), u64(row) == 0
		case 2:
			v, null = data[row] == 1, data[row] == 0
		case 3:
			v = word(row)
			null = v == ""
		case 4:
			if code := int32(u32(data, row)); code < 0 {
				null = true
			} else {
				v = word(int(code))
			}
		case 5:
			code := int32(u32(data, row))
			v, null = int64(code), code == -1
		default:
			v, null = int64(u64(row)), u64(row) == 1<<63
		}
		if len(validity) > 0 && validity[row/8]>>(row%8)&1 == 0 {
			if nulls++; !null {
				t.Fatalf("row %d is null and has %v", row, v)
			}
			v = nil
		}
		values[row] = v
	}
	if nulls != layout[1] || nulls == 0 && len(validity) > 0 {
		t.Fatalf("%d nulls of %d, a bitmap of %d bytes", nulls, layout[1], len(validity))
	}
	return values
}

// same compares a value of a row with what JSON says of it.
func same(kind string, choices []any, got, want any) error {
	if kind == "category" && got != nil {
		got = choices[got.(int64)]
	}
	if number, is := want.(json.Number); is {
		f, err := number.Float64()
		if err != nil {
			return err
		}
		if g, is := got.(float64); is && kind != "category" {
			if math.Float64bits(g) != math.Float64bits(f) {
				return fmt.Errorf("is %v, wants %v", g, number)
			}
			return nil
		}
		got = json.Number(fmt.Sprint(got))
		if f, is := want.(float64); is {
			got = f
		}
	}
	if got != want {
		return fmt.Errorf("is %v, wants %v", got, want)
	}
	return nil
}
