package front

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// answered makes the outputs of a request that asks for them, from answers with one output each.
func answered(t *testing.T, asked string, answers ...answer) ([]output, *problem) {
	t.Helper()
	q, p := readInference([]byte(`{"inputs":[{"name":"event","datatype":"BYTES","shape":[1],"data":["{}"]}]`+asked+`}`), nil)
	if p == nil {
		p = q.plan(typesFrom(t, kinds))
	}
	if p != nil {
		t.Fatal(p)
	}
	return q.outputs(answers)
}

func row1(output string) answer {
	return answer{fate: scored, outputs: [][]byte{[]byte(output)}, model: "3"}
}

func jsonOf(t *testing.T, outputs []output, p *problem) string {
	t.Helper()
	if p != nil {
		return p.text
	}
	b := buffer{}
	if _, p := b.inference("kinds", "", "3", outputs); p != nil {
		return p.text
	}
	if !json.Valid(b.data) {
		t.Errorf("not JSON: %s", b.data)
	}
	_, text, _ := strings.Cut(string(b.data), `"outputs":`)
	return strings.TrimSuffix(text, "}")
}

func TestOutputsOfEachKind(t *testing.T) {
	full := ` { "word" : "a\"b" , "number":1.5,"maybe":null,"count":7,"flag":true,"nested":{"a": [1]},"more":[{"number":9}]}`
	outputs, p := answered(t, "", row1(full))
	want := `[{"name":"number","datatype":"FP64","shape":[1],"data":[1.5]},{"name":"maybe","datatype":"FP64","shape":[1],"data":[0]},` +
		`{"name":"maybe__valid","datatype":"BOOL","shape":[1],"data":[false]},{"name":"count","datatype":"INT64","shape":[1],"data":[7]},` +
		`{"name":"flag","datatype":"BOOL","shape":[1],"data":[true]},{"name":"word","datatype":"BYTES","shape":[1],"data":["a\"b"]},` +
		`{"name":"word__valid","datatype":"BOOL","shape":[1],"data":[true]},{"name":"nested","datatype":"BYTES","shape":[1],"data":["{\"a\": [1]}"]}]`
	if got := jsonOf(t, outputs, p); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	raw := map[string]string{
		"number": littleEndian(1.5), "maybe": littleEndian(math.NaN()), "maybe__valid": "\x00", "count": littleEndian(int64(7)), "flag": "\x01",
		"word": littleEndian(`a"b`), "word__valid": "\x01", "nested": littleEndian(`{"a": [1]}`),
	}
	for i := range outputs {
		got, p := outputs[i].appendRaw(nil)
		if p != nil || string(got) != raw[outputs[i].name] {
			t.Errorf("%s: %q %v", outputs[i].name, got, p)
		}
	}
}

func TestRowsThatFailHaveErrorsWhereTheseAreAskedFor(t *testing.T) {
	answers := []answer{
		row1(`{"number":1,"word":null}`),
		{fate: rejected, reason: "cancelled flight", model: "3"},
		{fate: failed, code: "invalid_event", reason: "1 field is wrong", detail: []byte(`[{"field":"x","got":"two","expected":"number"}]`)},
		{fate: failed, code: "exception", reason: "ValueError: no"},
		{fate: scored, outputs: [][]byte{[]byte(`{}`), []byte(`{}`)}},
	}
	outputs, p := answered(t, `,"outputs":[{"name":"number"},{"name":"error"},{"name":"event"}]`, answers...)
	want := `[{"name":"number","datatype":"FP64","shape":[5],"data":[1,0,0,0,0]},{"name":"error","datatype":"BYTES","shape":[5],"data":["",` +
		`"{\"rejected\":\"cancelled flight\"}","{\"errors\":[{\"field\":\"x\",\"got\":\"two\",\"expected\":\"number\"}]}",` +
		`"{\"error\":\"ValueError: no\",\"code\":\"exception\"}",` +
		`"{\"code\":\"bad_tensor\",\"error\":\"2 outputs; ask for the output event, which takes any number\"}"]},` +
		`{"name":"event","datatype":"BYTES","shape":[5],"data":["{\"number\":1,\"word\":null}","","","",""]}]`
	if got := jsonOf(t, outputs, p); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, p = answered(t, `,"outputs":[{"name":"number"}]`, answers...)
	if want := `row 1: cancelled flight; row 2: 1 field is wrong; ` + // no detail: it may be the model's traceback
		`row 3: ValueError: no; row 4 has 2 outputs; ask for the output event, which takes any number`; p == nil || p.status != 400 || p.text != want {
		t.Errorf("%v", p)
	}
}

func TestAFieldAskedForAloneBringsItsMarksOnlyWithNulls(t *testing.T) {
	for asked, c := range map[string][2]string{
		`,"outputs":[{"name":"word"}]`:                         {"word", "word word__valid"},
		`,"outputs":[{"name":"word__valid"},{"name":"word"}]`:  {"word__valid word", "word__valid word"},
		`,"outputs":[{"name":"word__valid"},{"name":"error"}]`: {"word__valid error", "word__valid error"},
	} {
		for i, output := range []string{`{"word":"a"}`, `{"word":null}`} {
			outputs, p := answered(t, asked, row1(output))
			var names []string
			for _, o := range outputs {
				names = append(names, o.name)
			}
			if got := strings.Join(names, " "); p != nil || got != c[i] {
				t.Errorf("%s of %s: %s %v", asked, output, got, p)
			}
		}
	}
}

func TestNamesOfOutputsWithEscapesAreRead(t *testing.T) {
	outputs, p := answered(t, `,"outputs":[{"name":"count"}]`, row1(`{"c\u006funt":5,"count\\":6}`))
	if got := jsonOf(t, outputs, p); got != `[{"name":"count","datatype":"INT64","shape":[1],"data":[5]}]` {
		t.Error(got)
	}
}

func TestOutputsThatAreNotWhatTheModelSaysAreItsFault(t *testing.T) {
	for _, output := range []string{`{"count":1.5}`, `{"count":99999999999999999999}`, `{"number":"x"}`, `{"number":1e999}`} {
		outputs, p := answered(t, `,"parameters":{"binary_data_output":true}`, row1(output))
		for i := range outputs {
			if p == nil {
				_, p = outputs[i].appendRaw(nil)
			}
		}
		if p == nil || p.status != 500 || p.code != "bad_output" {
			t.Errorf("%s: %v", output, p)
		}
	}
}

// askBinary sends JSON and what follows it, and returns status, JSON and binary data of the answer.
func (r *rig) askBinary(path, body, binary string) (status int, head, data string) {
	r.Helper()
	request, _ := http.NewRequest("POST", r.server.URL+path, strings.NewReader(body+binary))
	request.Header.Set(inferenceHeader, strconv.Itoa(len(body)))
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		r.Fatal(err)
	}
	n := len(all)
	if length := answer.Header.Get(inferenceHeader); length != "" {
		n, _ = strconv.Atoi(length)
		if got := answer.Header.Get("Content-Type"); got != "application/octet-stream" {
			r.Errorf("content type %s", got)
		}
	}
	return answer.StatusCode, string(all[:n]), string(all[n:])
}

func TestBinaryTensorsOverHTTP(t *testing.T) {
	r := newRig(t, Config{}).ready()
	id, ids := rawTensor("flight_id", "BYTES", 2, littleEndian("a", "bc"))
	delay, delays := rawTensor("dep_delay", "FP32", 2, littleEndian(float32(5), float32(math.NaN())))
	inputs := `{"inputs":[` + id + `,{"name":"distance","datatype":"FP64","shape":[2],"data":[1,2]},` + delay + `]`
	status, head, data := r.askBinary("/v2/models/flights/infer", inputs+`,"parameters":{"binary_data_output":true}}`, ids+delays)
	want := `{"model_name":"flights","model_version":"3","outputs":[` +
		`{"name":"arr_delay","datatype":"FP64","shape":[2],"parameters":{"binary_data_size":16}},` +
		`{"name":"late","datatype":"BOOL","shape":[2],"parameters":{"binary_data_size":2}},` +
		`{"name":"gate","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":8}},` +
		`{"name":"gate__valid","datatype":"BOOL","shape":[2],"parameters":{"binary_data_size":2}}]}`
	if status != 200 || head != want || data != littleEndian(5.0, -1.0, false, false, "", "", false, false) {
		t.Errorf("%d %s %q", status, head, data)
	}
	status, head, data = r.askBinary("/v2/models/flights/versions/3/infer",
		inputs+`,"outputs":[{"name":"late"},{"name":"arr_delay","parameters":{"binary_data":true}}]}`, ids+delays)
	want = `{"model_name":"flights","model_version":"3","outputs":[{"name":"late","datatype":"BOOL","shape":[2],"data":[false,false]},` +
		`{"name":"arr_delay","datatype":"FP64","shape":[2],"parameters":{"binary_data_size":16}}]}`
	if status != 200 || head != want || data != littleEndian(5.0, -1.0) {
		t.Errorf("%d %s %q", status, head, data)
	}
	status, head, _ = r.askBinary("/v2/models/flights/infer", inputs+`}`, ids+delays)
	if status != 200 || !strings.Contains(head, `{"name":"arr_delay","datatype":"FP64","shape":[2],"data":[5,-1]}`) {
		t.Errorf("%d %s", status, head)
	}
	status, head, _ = r.askBinary("/v2/models/flights/infer", inputs+`}`, ids)
	if status != 400 || !strings.Contains(head, "0 bytes are left") {
		t.Errorf("%d %s", status, head)
	}
}

func TestMoreRowsThanTheQueueTakesAreRefusedBeforeTheyAreMade(t *testing.T) {
	r := newRig(t, Config{Rows: 64}).ready()
	tensor, data := rawTensor("night", "BOOL", 65, strings.Repeat("\x00", 65))
	status, head, _ := r.askBinary("/v2/models/flights/infer", `{"inputs":[`+tensor+`]}`, data)
	if status != 413 || !strings.Contains(head, "too_many_rows") {
		t.Errorf("%d %s", status, head)
	}
}

func BenchmarkTensorsToRows(b *testing.B) {
	for name, of := range map[string]int{"one row": 1, "1000 rows": 1000} {
		tensor, data := rawTensor("number", "FP64", of, strings.Repeat(littleEndian(0.1), of))
		body, types := `{"inputs":[`+tensor+`]}`, typesFrom(b, kinds)
		announced := []string{fmt.Sprint(len(body))}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q, p := readInference([]byte(body+data), announced)
				if p != nil || q.plan(types) != nil {
					b.Fatal(p)
				}
				if _, _, p := q.rows(nil, 1<<20, always); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}

func TestOutputsAreThoseOfTheVersionThatAnswered(t *testing.T) {
	q, p := readInference([]byte(`{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1]}]}`), nil)
	if p == nil {
		p = q.plan(typesFrom(t, numbersOnly))
	}
	if p == nil {
		p = q.planOutputs(typesFrom(t, `{"output": {"type": "object", "properties": {"count": {"type": "integer"}}}}`))
	}
	if p != nil {
		t.Fatal(p)
	}
	outputs, p := q.outputs([]answer{row1(`{"count":5}`)})
	if got := jsonOf(t, outputs, p); got != `[{"name":"count","datatype":"INT64","shape":[1],"data":[5]}]` {
		t.Error(got)
	}
}
