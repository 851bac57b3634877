package http

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"
)

// Kinds of bodies.
const (
	kindJSON  = iota + 1 // one event, or an array of them
	kindLines            // an event a line
)

// kindOf reads a Content-Type. Without one a body is JSON.
func kindOf(contentType string) (int, bool) {
	name, params, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "":
		return kindJSON, true
	case err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8"):
		return 0, false
	case name == "application/json" || strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+json"):
		return kindJSON, true
	case name == "application/x-ndjson" || name == "application/ndjson" || name == "application/jsonl" || name == "application/x-jsonlines":
		return kindLines, true
	}
	return 0, false
}

// An eventError is what is wrong with one event of a body.
type eventError struct {
	Index  int    `json:"index"`
	Detail string `json:"detail"`
}

// maxEventErrors bounds the list in an answer.
const maxEventErrors = 100

// Limits of one body.
type bounds struct{ events, event int }

// parse takes a body apart. The events are parts of it. One bad event refuses all, with every error that can be told: a
// sender that sends the whole again must not have some of it taken twice.
func parse(body []byte, kind int, b bounds) ([][]byte, *problem) {
	p := parser{bounds: b}
	var err *problem
	if kind == kindLines {
		err = p.lines(body)
	} else {
		err = p.json(body)
	}
	switch {
	case err != nil:
		return nil, err
	case len(p.errors) > 0:
		return nil, problemEvents.about(fmt.Sprintf("%d of %d events cannot be taken, so none was", p.bad, len(p.events)+p.bad), p.errors...)
	}
	return p.events, nil
}

type parser struct {
	bounds
	events [][]byte
	errors []eventError
	bad    int
}

func (p *parser) lines(body []byte) *problem {
	index := 0
	for line := range bytes.Lines(body) {
		line = bytes.Trim(line, " \t\r\n")
		if len(line) == 0 {
			continue
		}
		if !p.add(index, line) {
			return p.tooMany()
		}
		index++
	}
	return nil
}

func (p *parser) json(body []byte) *problem {
	body = bytes.Trim(body, " \t\r\n")
	if len(body) == 0 {
		return problemEmpty
	}
	if body[0] == '[' {
		return p.array(body)
	}
	p.add(0, body)
	return nil
}

// array finds the elements by a decoder, so that each is one whole value, and cuts them out of the body.
func (p *parser) array(body []byte) *problem {
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return malformed(0, err)
	}
	index := 0
	for ; d.More(); index++ {
		var s span
		if err := d.Decode(&s); err != nil {
			return malformed(index, err)
		}
		end := d.InputOffset()
		if !p.add(index, body[end-int64(s):end:end]) {
			return p.tooMany()
		}
	}
	if _, err := d.Token(); err != nil {
		return malformed(index, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed(index, errors.New("something follows the array"))
	}
	return nil
}

// A span is the length of a JSON value.
type span int

// UnmarshalJSON implements json.Unmarshaler.
func (s *span) UnmarshalJSON(value []byte) error {
	*s = span(len(value))
	return nil
}

// add takes an event, or notes what is wrong with it. It is false when there are too many.
func (p *parser) add(index int, event []byte) bool {
	if index >= p.bounds.events {
		return false
	}
	var wrong string
	switch {
	case len(event) > p.event:
		wrong = fmt.Sprintf("%d bytes are more than the limit of %d", len(event), p.event)
	case !utf8.Valid(event):
		wrong = "not UTF-8"
	case !json.Valid(event):
		wrong = "not JSON: " + syntax(event)
	}
	if wrong == "" {
		p.events = append(p.events, event)
		return true
	}
	if p.bad++; len(p.errors) < maxEventErrors {
		p.errors = append(p.errors, eventError{index, wrong})
	}
	return true
}

func (p *parser) tooMany() *problem {
	return problemTooMany.about(fmt.Sprintf("more than %d events in one request", p.bounds.events))
}

func syntax(event []byte) string {
	var v json.RawMessage
	if err := json.Unmarshal(event, &v); err != nil {
		return err.Error()
	}
	return "more than one value"
}

func malformed(index int, err error) *problem {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the body ends before the array does")
	}
	return problemMalformed.about("the array cannot be read", eventError{index, err.Error()})
}

var (
	errFull    = errors.New("the budget is spent")
	errTooLong = errors.New("over the limit")
)

// fetch reads at most limit bytes. It takes room for them as they come, and never trusts the length that was announced.
func fetch(from io.Reader, announced int64, limit int, room *share) ([]byte, error) {
	size := 16 << 10
	if announced >= 0 {
		size = int(min(announced+1, int64(limit)+1, 256<<10))
	}
	if !room.grow(0, size) {
		return nil, errFull
	}
	body := make([]byte, 0, size)
	for {
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return nil, errTooLong
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
		if len(body) == cap(body) {
			more := min(len(body), limit+1-len(body))
			if !room.grow(0, more) {
				return nil, errFull
			}
			wider := make([]byte, len(body), len(body)+more)
			copy(wider, body)
			body = wider
		}
	}
}

// unzip is fetch from what was compressed; a bomb is stopped at the limit.
func unzip(body []byte, limit int, room *share) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return fetch(z, -1, limit, room)
}
