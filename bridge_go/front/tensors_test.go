package front

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

const kinds = `{"input": {"type": "object", "required": ["number"], "properties": {
  "number": {"type": "number"}, "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
  "count": {"type": "integer"}, "flag": {"type": "boolean"}, "word": {"type": "string"},
  "when": {"type": "string", "format": "date-time"}, "exact": {"type": "string", "format": "decimal"},
  "choice": {"enum": ["a", "b"]}, "nested": {"type": "object"}, "list": {"type": "array"}}},
 "output": {"type": "object", "properties": {
  "number": {"type": "number"}, "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]}, "count": {"type": "integer"},
  "flag": {"type": "boolean"}, "word": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "nested": {"type": "object"}}}}`

const numbersOnly = `{"input": {"type": "object", "properties": {
  "x": {"type": "number"}, "y": {"anyOf": [{"type": "number"}, {"type": "null"}]}, "n": {"type": "integer"}}},
 "output": {"type": "object", "properties": {"z": {"type": "number"}}}}`

func typesFrom(t testing.TB, describe string) *types {
	t.Helper()
	read, err := readTypes("kinds", []byte(describe))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// eventsOf reads a request and gives the rows that it becomes, a line each.
func eventsOf(body, binary string, announced bool, of *types) (string, *problem) {
	var header []string
	if announced {
		header = []string{fmt.Sprint(len(body))}
	}
	q, p := readInference([]byte(body+binary), header)
	if p != nil {
		return "", p
	}
	if p := q.plan(of); p != nil {
		return "", p
	}
	rows, _, p := q.rows(nil, 1<<20, always)
	return string(rows), p
}

func always(int) bool { return true }

func littleEndian(values ...any) string {
	var b []byte
	for _, v := range values {
		if text, is := v.(string); is {
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
			continue
		}
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	return string(b)
}

func rawTensor(name, datatype string, n int, data string) (tensor, binary string) {
	return fmt.Sprintf(`{"name":%q,"datatype":%q,"shape":[%d],"parameters":{"binary_data_size":%d}}`, name, datatype, n, len(data)), data
}

func TestBinaryElementsOfEachDatatypeBecomeTheValuesThatTheyAre(t *testing.T) {
	of := typesFrom(t, kinds)
	for _, c := range []struct {
		field, datatype string
		data            string
		want            []string
	}{
		{"flag", "BOOL", littleEndian(true, false), []string{"true", "false"}},
		{"count", "INT8", littleEndian(int8(-128), int8(127)), []string{"-128", "127"}},
		{"count", "INT16", littleEndian(int16(-32768), int16(5)), []string{"-32768", "5"}},
		{"count", "INT32", littleEndian(int32(math.MinInt32), int32(5)), []string{"-2147483648", "5"}},
		{"count", "INT64", littleEndian(int64(math.MinInt64), int64(math.MaxInt64)), []string{"-9223372036854775808", "9223372036854775807"}},
		{"count", "UINT8", littleEndian(uint8(255), uint8(0)), []string{"255", "0"}},
		{"count", "UINT16", littleEndian(uint16(65535), uint16(0)), []string{"65535", "0"}},
		{"count", "UINT32", littleEndian(uint32(math.MaxUint32), uint32(0)), []string{"4294967295", "0"}},
		{"count", "UINT64", littleEndian(uint64(math.MaxUint64), uint64(1)), []string{"18446744073709551615", "1"}},
		{"number", "INT32", littleEndian(int32(-1), int32(5)), []string{"-1", "5"}},
		{"number", "FP16", littleEndian(uint16(0x3c00), uint16(0xc240), uint16(0x0001)), []string{"1", "-3.125", "5.960464477539063e-08"}},
		{"number", "BF16", littleEndian(uint16(0x3f80), uint16(0xc049)), []string{"1", "-3.140625"}},
		{"number", "FP32", littleEndian(float32(1.5), float32(0.1)), []string{"1.5", "0.10000000149011612"}},
		{"number", "FP64", littleEndian(0.1, math.Copysign(0, -1), 1e300, 5e-324), []string{"0.1", "-0", "1e+300", "5e-324"}},
		{"number", "FP64", littleEndian(math.NaN(), math.Inf(1), math.Inf(-1)), []string{`"NaN"`, `"Infinity"`, `"-Infinity"`}},
		{"maybe", "FP64", littleEndian(math.NaN(), 2.0), []string{"null", "2"}},
		{"maybe", "FP16", littleEndian(uint16(0x7e00), uint16(0x7c00), uint16(0xfc00)), []string{"null", `"Infinity"`, `"-Infinity"`}},
		{"word", "BYTES", littleEndian("", "a\"b\\c\n\x00é"), []string{`""`, `"a\"b\\c\u000a\u0000é"`}},
		{"choice", "BYTES", littleEndian("a", "z"), []string{`"a"`, `"z"`}},
		{"when", "BYTES", littleEndian("2026-01-01T00:00:00Z"), []string{`"2026-01-01T00:00:00Z"`}},
		{"exact", "BYTES", littleEndian("1.10"), []string{`"1.10"`}},
		{"nested", "BYTES", littleEndian(` {"a": [1]} `, `{"a":1}{"a":2}`, "no"), []string{`{"a": [1]}`, `"{\"a\":1}{\"a\":2}"`, `"no"`}},
	} {
		tensor, data := rawTensor(c.field, c.datatype, len(c.want), c.data)
		got, p := eventsOf(`{"inputs":[`+tensor+`]}`, data, true, of)
		want := ""
		for _, value := range c.want {
			want += fmt.Sprintf("{%q:%s}\n", c.field, value)
		}
		if p != nil || got != want {
			t.Errorf("%s %s: got %s %v, want %s", c.field, c.datatype, got, p, want)
		}
	}
}

func TestTensorsBecomeRows(t *testing.T) {
	of, numbers := typesFrom(t, kinds), typesFrom(t, numbersOnly)
	for name, c := range map[string]struct {
		of         *types
		body, want string
	}{
		"flat, nested, in any order": {of, `{"inputs":[{"name":"word","datatype":"BYTES","shape":[2,1],"data":[["a"],["b"]]},
		  {"name":"number","datatype":"FP64","shape":[2],"data":[1, 2.50]}]}`, `{"word":"a","number":1}` + "\n" + `{"word":"b","number":2.50}`},
		"null": {of, `{"inputs":[{"name":"number","datatype":"FP64","shape":[2],"data":[1,2]},
		  {"name":"number__valid","datatype":"BOOL","shape":[2,1],"data":[[false],[1]]}]}`, `{"number":null}` + "\n" + `{"number":2}`},
		"JSON in BYTES": {of, `{"inputs":[{"name":"nested","datatype":"BYTES","shape":[3],"data":["{\"a\":\"\\u00e9\"}",{"b":[1]},"["]}]}`,
			`{"nested":{"a":"\u00e9"}}` + "\n" + `{"nested":{"b":[1]}}` + "\n" + `{"nested":"["}`},
		"lists, a row each": {of, `{"inputs":[{"name":"list","datatype":"BYTES","shape":[2],"data":[[1,2],[]]}]}`, `{"list":[1,2]}` + "\n" + `{"list":[]}`},
		"lists, nested":     {of, `{"inputs":[{"name":"list","datatype":"BYTES","shape":[2,1],"data":[[[1,2]],[[]]]}]}`, `{"list":[1,2]}` + "\n" + `{"list":[]}`},
		"whole events": {of, `{"inputs":[{"name":"event","datatype":"BYTES","shape":[2],"data":["{\"number\": 1}", {"number":2}]}]}`,
			`{"number": 1}` + "\n" + `{"number":2}`},
		"one tensor for all fields": {numbers, `{"inputs":[{"name":"input-0","datatype":"FP64","shape":[2,3],"data":[[1.5,2,3.0],[4,null,5e0]]}]}`,
			`{"x":1.5,"y":2,"n":3}` + "\n" + `{"x":4,"y":null,"n":5}`},
		"one flat tensor for all fields": {numbers, `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3.5]}]}`, `{"x":1,"y":2,"n":3.5}`},
		"what is not known of a model":   {&types{}, `{"inputs":[{"name":"q\"","datatype":"INT8","shape":[1],"data":[1]}]}`, `{"q\"":1}`},
	} {
		got, p := eventsOf(c.body, "", false, c.of)
		if p != nil || got != c.want+"\n" {
			t.Errorf("%s: got %s %v", name, got, p)
		}
	}
}

func TestOneBinaryTensorHoldsAllFieldsOfNumbers(t *testing.T) {
	data := littleEndian(float32(1.5), float32(math.NaN()), float32(3), float32(math.Inf(1)), float32(0), float32(2.5))
	got, p := eventsOf(`{"inputs":[{"name":"input-0","datatype":"FP32","shape":[2,3],"parameters":{"binary_data_size":24}}]}`, data, true,
		typesFrom(t, numbersOnly))
	if want := `{"x":1.5,"y":null,"n":3}` + "\n" + `{"x":"Infinity","y":0,"n":2.5}` + "\n"; p != nil || got != want {
		t.Errorf("%s %v", got, p)
	}
}

func TestHostileTensorsAreRefusedWithASentence(t *testing.T) {
	of, numbers := typesFrom(t, kinds), typesFrom(t, numbersOnly)
	tensor := func(more string) string { return `{"inputs":[{"name":"number","datatype":"FP64",` + more + `}]}` }
	many := strings.Repeat(`{"name":"number","datatype":"FP64","shape":[1],"data":[1]},`, maxTensors) + `{"name":"x"}`
	for _, c := range []struct {
		body, binary string
		want         string
	}{
		{tensor(`"shape":[1],"parameters":{"binary_data_size":8}`), "1234567", "binary_data_size 8, and 7 bytes are left"},
		{tensor(`"shape":[1],"parameters":{"binary_data_size":8}`), "123456789", "1 bytes of binary tensor data belong to no tensor"},
		{tensor(`"shape":[1],"parameters":{"binary_data_size":7}`), "1234567", "does not end with an element of FP64"},
		{tensor(`"shape":[2],"parameters":{"binary_data_size":8}`), "12345678", "has 1 values for shape [2]"},
		{tensor(`"shape":[1],"parameters":{"binary_data_size":-8}`), "", "no number of bytes"},
		{tensor(`"shape":[1],"parameters":{"binary_data_size":8.5}`), "", "no number of bytes"},
		{tensor(`"shape":[1],"parameters":{"binary_data_size":99999999999999999999}`), "", "no number of bytes"},
		{tensor(`"shape":[1],"parameters":{"binary_data_size":9223372036854775807}`), "12345678", "8 bytes are left"},
		{tensor(`"shape":[0],"parameters":{"binary_data_size":0}`), "", "has no rows"},
		{tensor(`"shape":[1],"data":[1],"parameters":{"binary_data_size":8}`), "12345678", "is sent as one of both"},
		{tensor(`"shape":[1]`), "", "has no data"},
		{tensor(`"shape":[-1],"data":[1]`), "", "has 1 values for shape [-1]"},
		{tensor(`"shape":[-1,-1],"data":[1]`), "", "one value a row is [n] or [n,1]"},
		{tensor(`"shape":[9223372036854775807],"data":[1]`), "", "has 1 values for shape [9223372036854775807]"},
		{tensor(`"shape":[9223372036854775807,1],"data":[1]`), "", "has 1 values for shape"},
		{tensor(`"shape":[99999999999999999999],"data":[1]`), "", "not an inference request"},
		{tensor(`"shape":[1.5],"data":[1]`), "", "not an inference request"},
		{tensor(`"shape":[],"data":[]`), "", "one value a row is [n] or [n,1]"},
		{tensor(`"shape":[1,1,1],"data":[1]`), "", "one value a row is [n] or [n,1]"},
		{tensor(`"shape":[1],"data":1`), "", "data is a list of them"},
		{tensor(`"shape":[2,1],"data":[[1,2]]`), "", "data is a list of them"},
		{tensor(`"shape":[2,1],"data":[[1],2]`), "", "data is a list of them"},
		{tensor(`"shape":[0,0],"data":[[]]`), "", "data is a list of them"},
		{tensor(`"shape":[1],"parameters":{"shared_memory_region":"a"}`), "", "shared memory"},
		{`{"inputs":[{"name":"number","datatype":"FP128","shape":[1],"data":[1]}]}`, "", `datatype "FP128", which the protocol does not know`},
		{`{"inputs":[{"name":"number","shape":[1],"data":[1]}]}`, "", `datatype ""`},
		{`{"inputs":[{"name":"number__valid","datatype":"BOOL","shape":[1],"data":[true]}]}`, "", "goes beside number, which is not there"},
		{`{"inputs":[{"name":"word","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":3}}]}`, "abc", "does not end with an element"},
		{`{"inputs":[{"name":"word","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}`, "\xff\xff\xff\xffa", "does not end with an element"},
		{`{"inputs":[{"name":"word","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}`, "\x01\x00\x00\x00\xff", "row 0: word is not UTF-8"},
		{`{"inputs":[{"name":"number","datatype":"FP64","shape":[1],"data":[1]}],"outputs":[{"name":"count"},{"name":"count"}]}`, "", "asked for twice"},
		{`{"inputs":[{"name":"number","datatype":"FP64","shape":[1],"data":[1]}],"outputs":[{"name":"speed"}]}`, "", "no output speed. There are: number, maybe"},
		{`{"inputs":[{"name":"number","datatype":"FP64","shape":[1],"data":[1]}],"outputs":[{"name":"word","parameters":{"classification":2}}]}`, "", "classification"},
		{`{"inputs":[{"name":"number","datatype":"FP64","shape":[1],"data":[1]}],"outputs":[{"name":"word","parameters":{"binary_data":1}}]}`, "", "takes true or false"},
		{`{"inputs":[{"name":"number","datatype":"FP64","shape":[1],"data":[1]}],"parameters":{"sequence_id":7}}`, "", "keeps no state"},
		{`{"inputs":[{"name":"number","datatype":"FP64","shape":[1],"data":[1]}],"parameters":{"binary_data_output":"yes"}}`, "", "takes true or false"},
		{`{"inputs":[{"name":"number","datatype":"FP64","shape":[1],"data":[1]}],"parameters":{"timeout":-1}}`, "", "takes microseconds"},
		{`{"inputs":{}}`, "", "inputs is no list"},
		{`{"inputs":null}`, "", "inputs is empty"},
		{`{}`, "", "inputs is empty"},
		{`[]`, "", "a list instead of an object"},
		{`{"inputs":[` + many + `]}`, "", "more than 4096 inputs"},
		{"{\"id\":\"\xff\",\"inputs\":[]}", "", "not UTF-8"},
	} {
		got, p := eventsOf(c.body, c.binary, c.binary != "", of)
		if p == nil || p.status != 400 || !strings.Contains(p.text, c.want) {
			t.Errorf("%.200s\ngot %s %v, want %s", c.body, got, p, c.want)
		}
	}
	_, p := eventsOf(`{"inputs":[{"name":"input-0","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`, "", false, numbers)
	if p == nil || !strings.Contains(p.text, "has 2 columns. One tensor for all fields has 3: x, y, n") {
		t.Errorf("%v", p)
	}
	_, p = eventsOf(`{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}`,
		littleEndian(float32(math.Inf(1))), true, &types{})
	if p == nil || !strings.Contains(p.text, "x is not finite") {
		t.Errorf("%v", p)
	}
}

func TestALengthOfJSONThatIsNoneIsRefused(t *testing.T) {
	for _, announced := range [][]string{{"-1"}, {"9"}, {"x"}, {""}, {"1", "2"}, {"99999999999999999999"}} {
		if _, p := readInference([]byte(`{}`), announced); p == nil || p.code != "bad_tensor" {
			t.Errorf("%q: %v", announced, p)
		}
	}
}

func TestRowsThatGrowOverTheLimitAreRefusedBeforeTheyAreAllMade(t *testing.T) {
	tensor, data := rawTensor(strings.Repeat("n", 1000), "INT8", 1000, strings.Repeat("\x01", 1000))
	q, p := readInference([]byte(`{"inputs":[`+tensor+`]}`+data), []string{fmt.Sprint(len(tensor) + len(`{"inputs":[]}`))})
	if p == nil {
		p = q.plan(&types{})
	}
	if p != nil {
		t.Fatal(p)
	}
	if body, _, p := q.rows(nil, 10_000, always); p == nil || p.status != 413 || body != nil {
		t.Errorf("%v", p)
	}
	if body, _, p := q.rows(nil, 1<<20, func(bytes int) bool { return bytes < 5000 }); p != problemFull || body != nil {
		t.Errorf("%v", p)
	}
}

func TestEventsInTheMakingCountAgainstTheBudget(t *testing.T) {
	f, err := New(Config{Program: "m", Bytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tensor, data := rawTensor(strings.Repeat("n", 100), "INT8", 30, strings.Repeat("\x01", 30))
	for held, want := range map[int]*problem{0: nil, 2000: problemFull} {
		q, p := readInference([]byte(`{"inputs":[`+tensor+`]}`+data), []string{fmt.Sprint(len(tensor) + len(`{"inputs":[]}`))})
		if p == nil {
			p = q.plan(&types{})
		}
		if p != nil || !f.budget.take(held) {
			t.Fatal(p)
		}
		if p := f.fill(&request{}, q); p != want {
			t.Errorf("beside %d bytes: %v", held, p)
		}
		f.budget.give(held)
		if used := f.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes are not given back", used)
		}
	}
}

func FuzzModelInfer(f *testing.F) {
	for _, request := range []*inferRequest{delays(1, 2), held(), {Inputs: []*inputTensor{{Name: "number", Datatype: "FP16", Shape: []int64{1}}}, RawInputContents: [][]byte{{0, 1}}}} {
		data, _ := proto.Marshal(request)
		f.Add(data)
	}
	of := []*types{typesFrom(f, kinds), typesFrom(f, numbersOnly), {}}
	f.Fuzz(func(t *testing.T, data []byte) {
		if countParts(data) != nil {
			return
		}
		for _, types := range of {
			var m inferRequest
			if proto.Unmarshal(data, &m) != nil {
				return
			}
			q, p := readModelInfer(&m)
			if p != nil || q.plan(types) != nil {
				continue
			}
			rows, spans, _ := q.rows(nil, 1<<20, always)
			for _, s := range spans {
				if !json.Valid(rows[s.from:s.to]) {
					t.Fatalf("a row is not JSON: %q", rows[s.from:s.to])
				}
			}
		}
	})
}

func FuzzTensors(f *testing.F) {
	for _, seed := range []string{
		`{"inputs":[{"name":"word","datatype":"BYTES","shape":[2,1],"data":[["a"],["b"]]},{"name":"number","datatype":"FP64","shape":[2],"data":[1,2]}]}`,
		`{"inputs":[{"name":"number","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}` + "\x00\x00\xc0\x7f",
		`{"inputs":[{"name":"event","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]}` + "\x02\x00\x00\x00{}",
		`{"inputs":[{"name":"nested","datatype":"BYTES","shape":[1],"data":["{\"a\":1}"]}],"outputs":[{"name":"error"}]}`,
	} {
		f.Add([]byte(seed), len(seed)-4)
		f.Add([]byte(seed), -1)
	}
	of := []*types{typesFrom(f, kinds), typesFrom(f, numbersOnly), {}}
	f.Fuzz(func(t *testing.T, body []byte, head int) {
		var announced []string
		if head >= 0 {
			announced = []string{fmt.Sprint(head)}
		}
		for _, types := range of {
			q, p := readInference(body, announced)
			if p != nil || q.plan(types) != nil {
				continue
			}
			rows, spans, p := q.rows(nil, 1<<20, always)
			if p == nil && len(spans) != q.n {
				t.Fatalf("%d rows of %d", len(spans), q.n)
			}
			for _, s := range spans {
				if !json.Valid(rows[s.from:s.to]) {
					t.Fatalf("a row is not JSON: %q", rows[s.from:s.to])
				}
			}
		}
	})
}
