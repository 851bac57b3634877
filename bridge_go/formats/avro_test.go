package formats

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const everything = `{"type":"record","name":"All","namespace":"t","fields":[
 {"name":"flag","type":"boolean"},
 {"name":"small","type":"int"},
 {"name":"large","type":"long"},
 {"name":"single","type":"float"},
 {"name":"double","type":["null","double"],"default":null},
 {"name":"text","type":"string"},
 {"name":"data","type":"bytes"},
 {"name":"four","type":{"type":"fixed","name":"Four","size":4}},
 {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}},
 {"name":"day","type":{"type":"int","logicalType":"date"}},
 {"name":"millis","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null},
 {"name":"micros","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"nanos","type":{"type":"long","logicalType":"timestamp-nanos"}},
 {"name":"wall","type":{"type":"long","logicalType":"local-timestamp-millis"}},
 {"name":"clock","type":{"type":"int","logicalType":"time-millis"}},
 {"name":"finer","type":["null",{"type":"long","logicalType":"time-micros"}],"default":null},
 {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
 {"name":"fixed_price","type":["null",{"type":"fixed","name":"Price","size":5,"logicalType":"decimal","precision":9,"scale":3}],"default":null},
 {"name":"id","type":{"type":"string","logicalType":"uuid"}},
 {"name":"raw_id","type":{"type":"fixed","name":"ID","size":16,"logicalType":"uuid"}},
 {"name":"list","type":{"type":"array","items":["null","int"]}},
 {"name":"table","type":{"type":"map","values":{"type":"record","name":"Inner","fields":[{"name":"n","type":"int"}]}}},
 {"name":"inner","type":["null","Inner"],"default":null},
 {"name":"either","type":["null","long","string","Kind"],"default":null},
 {"name":"with_default","type":"int","default":7}
]}`

const everythingJSON = `{"clock":"10:20:30.004","data":"AAH/","day":"2013-01-31","double":0.1,"either":"text",` +
	`"finer":"23:59:59.999999","fixed_price":"-1.005","flag":true,"four":"AQIDBA==","id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8",` +
	`"inner":{"n":2},"kind":"B","large":9007199254740993,"list":[1,null,3],"micros":"2013-01-31T10:00:00.000001Z",` +
	`"millis":"1969-12-31T23:59:59.999Z","nanos":"2013-01-31T10:00:00.000000001Z","price":"12.50",` +
	`"raw_id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","single":0.1,"small":-5,"table":{"a":{"n":1},"b":{"n":-1}},` +
	`"text":"\"ü\\\n\u0001","wall":"2013-01-31T10:00:00.5","with_default":7}`

func compiled(t *testing.T, format, text string) schema {
	t.Helper()
	s, err := kinds[format].compile(text, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAvroIsTheJSONOfModelsAndBack(t *testing.T) {
	s := compiled(t, Avro, everything)
	payload, err := s.encode(nil, []byte(everythingJSON))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.decode(payload)
	if err != nil || string(got) != everythingJSON {
		t.Errorf("%s\n%s\n%v", got, everythingJSON, err)
	}
}

func TestWhatIsNullableOrHasADefaultMayBeLeftOut(t *testing.T) {
	s := compiled(t, Avro, `{"type":"record","name":"R","fields":[{"name":"a","type":["null","long"],"default":null},
	  {"name":"b","type":["null","long"]},{"name":"c","type":"int","default":7}]}`)
	payload, err := s.encode(nil, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.decode(payload); err != nil || string(got) != `{"a":null,"b":null,"c":7}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestResultsThatDoNotFitAreMistakesWithTheirField(t *testing.T) {
	s := compiled(t, Avro, everything)
	for change, want := range map[string]string{
		`"small":-5 => "small":3000000000`:        "small",
		`"small":-5 => "small":1.5`:               "small",
		`"small":-5 => "small":"five"`:            "small",
		`"small":-5 => "smal":5`:                  "no field smal. It has: clock, data",
		`"small":-5, => `:                         "small",
		`"flag":true => "flag":1`:                 "flag",
		`"kind":"B" => "kind":"C"`:                "kind",
		`"price":"12.50" => "price":"12.505"`:     "price",
		`"price":"12.50" => "price":"much"`:       "price",
		`"day":"2013-01-31" => "day":"31.1."`:     "day",
		`"clock":"10:20 => "clock":"25:20`:        "no time of a day",
		`"data":"AAH/" => "data":"*"`:             "base64",
		`"four":"AQIDBA==" => "four":"AQI="`:      "four",
		`"a":{"n":1} => "a":{"n":1,"m":2}`:        "no field table.a.m. It has: n",
		`"inner":{"n":2} => "inner":{"m":2}`:      "no field inner.m",
		`"list":[1,null => "list":["x",null`:      "list",
		`"with_default":7} => "with_default":7`:   "not JSON",
		`"with_default":7} => "with_default":7}}`: "something stands behind",
	} {
		old, fresh, _ := strings.Cut(change, " => ")
		_, err := s.encode(nil, []byte(strings.Replace(everythingJSON, old, fresh, 1)))
		var mistake *Mistake
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
}

func TestRecordsMayHoldThemselves(t *testing.T) {
	s := compiled(t, Avro, `{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"],"default":null}]}`)
	deep := func(n int) string { return strings.Repeat(`{"next":`, n) + "null" + strings.Repeat("}", n) }
	payload, err := s.encode(nil, []byte(deep(5)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.decode(payload); err != nil || string(got) != deep(5) {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := s.encode(nil, []byte(`{"next":{"nxt":null}}`)); err == nil {
		t.Error("an unknown field was taken")
	}
	if _, err := s.decode(bytes.Repeat([]byte{2}, 1<<20)); err == nil {
		t.Error("a million levels were read")
	}
}

func TestReferencesAreResolved(t *testing.T) {
	s, err := compileAvro(`{"type":"record","name":"User","namespace":"n","fields":[{"name":"at","type":"n.Address"}]}`,
		[]dependency{{"n.Address", `{"type":"record","name":"Address","namespace":"n","fields":[{"name":"city","type":"string"}]}`}}, "")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := s.encode(nil, []byte(`{"at":{"city":"Rom"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.decode(payload); err != nil || string(got) != `{"at":{"city":"Rom"}}` {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := s.encode(nil, []byte(`{"at":{"town":"Rom"}}`)); err == nil {
		t.Error("an unknown field of a reference was taken")
	}
}

func TestHostileAvroIsAMistakeAndTakesLittleMemory(t *testing.T) {
	long := []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01} // the largest positive number
	for name, x := range map[string]struct {
		schema  string
		payload []byte
	}{
		"a string longer than the payload": {`"string"`, append(long, "abc"...)},
		"a negative length":                {`"bytes"`, []byte{1}},
		"a list of nothings":               {`{"type":"array","items":"null"}`, append(long, 0)},
		"a list of empty records":          {`{"type":"array","items":{"type":"record","name":"E","fields":[]}}`, append(long, 0)},
		"a list with more than there is":   {`{"type":"array","items":"long"}`, append(long, 0)},
		"a map with more than there is":    {`{"type":"map","values":"null"}`, append(long, 0)},
		"a block of a negative size":       {`{"type":"array","items":"null"}`, append(bytes.Repeat([]byte{0xff}, 9), 0x01, 0)},
		"a branch that is not there":       {`["null","int"]`, []byte{4}},
		"a symbol that is not there":       {`{"type":"enum","name":"E","symbols":["A"]}`, []byte{9}},
		"a number without an end":          {`"long"`, bytes.Repeat([]byte{0x80}, 20)},
		"a string that is not UTF-8":       {`"string"`, []byte{4, 0xff, 0xfe}},
		"an infinite number":               {`"double"`, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x7f}},
		"a year that nobody knows":         {`{"type":"long","logicalType":"timestamp-millis"}`, long},
		"a time that is of no day":         {`{"type":"int","logicalType":"time-millis"}`, []byte{1}},
		"something behind the value":       {`"int"`, []byte{2, 2}},
		"nothing":                          {`"int"`, nil},
	} {
		s := compiled(t, Avro, x.schema)
		allocated := testing.AllocsPerRun(1, func() {
			got, err := s.decode(x.payload)
			var mistake *Mistake
			if !errors.As(err, &mistake) {
				t.Errorf("%s: %.100s, %v", name, got, err)
			}
		})
		if allocated > 20_000 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}

func TestNaNIsNull(t *testing.T) {
	s := compiled(t, Avro, `"double"`)
	if got, err := s.decode([]byte{1, 0, 0, 0, 0, 0, 0xf8, 0x7f}); err != nil || string(got) != "null" {
		t.Errorf("%s, %v", got, err)
	}
}
