package redis

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A record is an entry of these fields, the first of which says that it is one of ours:
//
//	ds       1
//	value    the value; absent when it is null
//	key      absent without a key
//	time     the record's own time in ns since 1970; absent where it is that of the id
//	h:NAME   a header's value, in the order of the headers, as often as its name occurs
//	n:NAME   a header whose value is null
//	headers  instead of these two where there are more than a few hundred headers: each as the length of its name and the name, then
//	         the length of its value and the value, or 0 for null; lengths are varints, that of a value one more than it is
//
// Any other entry is read as the JSON object of its fields, whose values are then strings; or, with the setting
// value_field, as the bytes of that field.
const (
	fieldMark   = "ds"
	fieldValue  = "value"
	fieldKey    = "key"
	fieldTime   = "time"
	fieldHeader = "h:"
	fieldNull   = "n:"
	fieldPacked = "headers"
	layout      = "1"
)

// packFrom is the number of headers from which they are one field. A script takes a few thousand arguments.
const packFrom = 256

// encode appends a record's fields to the arguments of an XADD.
func encode(args []string, r *messaging.Outgoing) []string {
	args = append(args, fieldMark, layout)
	if r.Key != nil {
		args = append(args, fieldKey, rueidis.BinaryString(r.Key))
	}
	if r.Time != 0 {
		args = append(args, fieldTime, strconv.FormatInt(r.Time, 10))
	}
	if len(r.Headers) >= packFrom {
		args = append(args, fieldPacked, pack(r.Headers))
	} else {
		args = each(args, r.Headers)
	}
	if r.Value != nil {
		args = append(args, fieldValue, rueidis.BinaryString(r.Value))
	}
	return args
}

func each(args []string, headers []messaging.Header) []string {
	for _, h := range headers {
		if h.Value == nil {
			args = append(args, fieldNull+h.Name, "")
		} else {
			args = append(args, fieldHeader+h.Name, rueidis.BinaryString(h.Value))
		}
	}
	return args
}

func pack(headers []messaging.Header) string {
	var out []byte
	for _, h := range headers {
		out = append(binary.AppendUvarint(out, uint64(len(h.Name))), h.Name...)
		if h.Value == nil {
			out = append(out, 0)
			continue
		}
		out = append(binary.AppendUvarint(out, uint64(len(h.Value))+1), h.Value...)
	}
	return string(out)
}

var errPacked = errors.New("the field headers is damaged")

func unpack(text string) (headers []messaging.Header, err error) {
	rest := []byte(text)
	cut := func(less uint64) []byte {
		n, width := binary.Uvarint(rest)
		if width <= 0 || n-min(n, less) > uint64(len(rest)-width) {
			err = errPacked
			return nil
		}
		if n < less {
			rest = rest[width:]
			return nil
		}
		n -= less
		part := rest[width : width+int(n) : width+int(n)]
		rest = rest[width+int(n):]
		return part
	}
	for len(rest) > 0 && err == nil {
		headers = append(headers, messaging.Header{Name: string(cut(0)), Value: cut(1)})
	}
	return headers, err
}

// overhead is what a record takes beside its value.
func overhead(r *messaging.Outgoing) int {
	n := len(r.Key)
	for _, h := range r.Headers {
		n += len(fieldHeader) + len(h.Name) + len(h.Value)
	}
	return n
}

// An entry is one answer of the server: an id and its fields. Gone says that the entry is named by a list of pending ones
// and is in the stream no more.
type entry struct {
	offset int64
	fields []string
	gone   bool
}

// entries reads [[id, [field, value, ...]], ...], of which fields may be null.
func entries(m rueidis.RedisMessage) ([]entry, error) {
	if m.IsNil() {
		return nil, nil
	}
	list, err := m.ToArray()
	if err != nil {
		return nil, err
	}
	found := make([]entry, 0, len(list))
	for i := range list {
		e, err := readEntry(&list[i])
		if err != nil {
			return found, err
		}
		found = append(found, e)
	}
	return found, nil
}

func readEntry(m *rueidis.RedisMessage) (e entry, err error) {
	pair, err := m.ToArray()
	if err != nil {
		return e, err
	}
	if len(pair) != 2 {
		return e, fmt.Errorf("an entry of %d parts", len(pair))
	}
	name, err := pair[0].ToString()
	if err != nil {
		return e, err
	}
	if e.offset, err = parseOffset(name); err != nil {
		return e, err
	}
	if e.gone = pair[1].IsNil(); e.gone {
		return e, nil
	}
	fields, err := pair[1].ToArray()
	if err != nil {
		return e, err
	}
	if len(fields) == 0 || len(fields)%2 != 0 { // an empty list of a deleted entry, as older servers answer
		e.gone = true
		return e, nil
	}
	e.fields = make([]string, len(fields))
	for i := range fields {
		if e.fields[i], err = fields[i].ToString(); err != nil {
			return e, err
		}
	}
	return e, nil
}

// record makes a record of an entry.
func (e *entry) record(valueField string) messaging.Record {
	r := messaging.Record{Offset: e.offset, Time: int64(idOf(e.offset).ms) * 1e6}
	if e.fields[0] == fieldMark && e.fields[1] == layout {
		e.ours(&r)
	} else {
		e.foreign(&r, valueField)
	}
	return r
}

func (e *entry) ours(r *messaging.Record) {
	headers := 0
	for i := 2; i < len(e.fields); i += 2 {
		if len(e.fields[i]) > 1 && e.fields[i][1] == ':' {
			headers++
		}
	}
	if headers > 0 {
		r.Headers = make([]messaging.Header, 0, headers)
	}
	for i := 2; i < len(e.fields); i += 2 {
		switch name, value := e.fields[i], e.fields[i+1]; {
		case name == fieldValue:
			r.Value = []byte(value)
		case name == fieldKey:
			r.Key = []byte(value)
		case name == fieldPacked:
			headers, err := unpack(value)
			if err != nil {
				r.Fault = &messaging.Fault{Code: faultEntry, Reason: fmt.Sprintf("entry %s: %v", idOf(e.offset), err)}
			}
			r.Headers = append(r.Headers, headers...)
		case name == fieldTime:
			if t, err := strconv.ParseInt(value, 10, 64); err == nil {
				r.Time = t
			}
		case len(name) >= 2 && name[:2] == fieldHeader:
			r.Headers = append(r.Headers, messaging.Header{Name: name[2:], Value: []byte(value)})
		case len(name) >= 2 && name[:2] == fieldNull:
			r.Headers = append(r.Headers, messaging.Header{Name: name[2:]})
		}
	}
}

// faultEntry is the code of entries that cannot be read.
const faultEntry = "redis_entry"

func (e *entry) foreign(r *messaging.Record, valueField string) {
	object := make(map[string]string, len(e.fields)/2)
	var problem string
	for i := 0; i < len(e.fields); i += 2 {
		name, value := e.fields[i], e.fields[i+1]
		if name == valueField && valueField != "" {
			r.Value = []byte(value)
			return
		}
		switch _, twice := object[name]; {
		case twice:
			problem = fmt.Sprintf("field %.60q occurs twice", name)
		case !utf8.ValidString(name) || !utf8.ValidString(value):
			problem = fmt.Sprintf("field %.60q is not text", name)
		}
		object[name] = value
	}
	if valueField != "" {
		problem = fmt.Sprintf("there is no field %q (value_field)", valueField)
	}
	r.Value, _ = json.Marshal(object) // of strings: it cannot fail
	if problem != "" {
		r.Fault = &messaging.Fault{Code: faultEntry, Reason: fmt.Sprintf("entry %s: %s. "+
			"An entry of another writer is read as an object of its fields; value_field=NAME names the one that holds the event", idOf(e.offset), problem)}
	}
}
