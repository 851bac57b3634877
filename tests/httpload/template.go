package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// A template makes requests by number, and knows their answers.
type template struct {
	row, want []byte
	list      int
	step      int64 // numbers of one request
}

func newTemplate(row, want string, list int) *template {
	return &template{[]byte(row), []byte(want), list, int64(max(1, list))}
}

// request appends the body whose first row has this number.
func (t *template) request(to []byte, first int64) []byte { return t.fill(to, t.row, first) }

func (t *template) fill(to, row []byte, first int64) []byte {
	if t.list == 0 {
		return one(to, row, first)
	}
	to = append(to, '[')
	for n := range int64(t.list) {
		if n > 0 {
			to = append(to, ',')
		}
		to = one(to, row, first+n)
	}
	return append(to, ']')
}

func one(to, row []byte, n int64) []byte {
	for {
		at := bytes.IndexByte(row, '{')
		if at < 0 {
			return append(to, row...)
		}
		to, row = append(to, row[:at]...), row[at:]
		switch {
		case bytes.HasPrefix(row, []byte("{n}")):
			to, row = strconv.AppendInt(to, n, 10), row[len("{n}"):]
		case bytes.HasPrefix(row, []byte("{twice}")):
			to, row = strconv.AppendInt(to, 2*n, 10), row[len("{twice}"):]
		default:
			to, row = append(to, '{'), row[1:]
		}
	}
}

// wrong says how an answer differs from the one that is wanted; nothing where it does not, or is no success.
func (t *template) wrong(got answered, first int64) string {
	if got.status != 200 || len(t.want) == 0 {
		return ""
	}
	wanted := t.fill(nil, t.want, first)
	body := got.body
	if t.list > 0 {
		var list struct{ Predictions, Errors json.RawMessage }
		if err := json.Unmarshal(body, &list); err != nil || !nothing(list.Errors) {
			return fmt.Sprintf("asked for rows from %d and got %.300s", first, body)
		}
		body = list.Predictions
	}
	if bytes.Equal(body, wanted) || sameValue(body, wanted) {
		return ""
	}
	return fmt.Sprintf("wanted %.200s and got %.200s", wanted, body)
}

// nothing reports whether a list holds nulls alone, or is not there.
func nothing(list json.RawMessage) bool {
	var errors []any
	if len(list) > 0 && json.Unmarshal(list, &errors) != nil {
		return false
	}
	for _, one := range errors {
		if one != nil {
			return false
		}
	}
	return true
}

func sameValue(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
