package embedded

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A record is a message whose payload is the value and whose headers are
//
//	Ds-Key: =key              absent without a key
//	Ds-Null: 1                the value is null
//	Ds-Header: name=value     one each, in order; "name" alone has a null value
//	Ds-Time: 1700000000       the record's own time in ns, otherwise the store's
//	Ds-Packed: 1234           the headers were too many: the payload begins with 1234 bytes, a Ds-Header's text a line
//	Nats-Msg-Id: id           for de-duplication
//
// with %XX for bytes that a header line cannot hold: controls, spaces, %, = in names, and all beyond ASCII.
const (
	headerKey    = "Ds-Key"
	headerNull   = "Ds-Null"
	headerHeader = "Ds-Header"
	headerTime   = "Ds-Time"
	headerPacked = "Ds-Packed"
)

// packAbove is the size of headers from which they go into the payload: the store takes 64 KiB of them.
const packAbove = 32 << 10

func encode(r *messaging.Outgoing, m *nats.Msg) {
	h := make(nats.Header, 4)
	if r.Key != nil {
		h[headerKey] = []string{"=" + escape(r.Key, false)}
	}
	if r.Value == nil {
		h[headerNull] = []string{"1"}
	}
	if r.Time != 0 {
		h[headerTime] = []string{strconv.FormatInt(r.Time, 10)}
	}
	if r.ID != "" {
		h[nats.MsgIdHdr] = []string{escape([]byte(r.ID), false)}
	}
	m.Header, m.Data = h, r.Value
	if len(r.Headers) == 0 {
		return
	}
	texts, size := make([]string, len(r.Headers)), 0
	for i, pair := range r.Headers {
		texts[i] = headerText(pair)
		size += len(texts[i]) + len(headerHeader) + len(": \r\n")
	}
	if size <= packAbove {
		h[headerHeader] = texts
		return
	}
	packed := strings.Join(texts, "\n")
	h[headerPacked] = []string{strconv.Itoa(len(packed))}
	m.Data = append([]byte(packed), r.Value...)
}

func headerText(h messaging.Header) string {
	if h.Value == nil {
		return escape([]byte(h.Name), true)
	}
	return escape([]byte(h.Name), true) + "=" + escape(h.Value, false)
}

// decode makes a record of a message as the store hands it out by position.
func decode(m *nats.Msg) (messaging.Record, error) {
	h := m.Header
	r := messaging.Record{Value: m.Data}
	seq, err := strconv.ParseInt(first(h, headerSequence), 10, 64)
	if err != nil {
		return r, fmt.Errorf("a message without a sequence: %w", err)
	}
	r.Offset = seq
	if r.Time, err = timeOf(h); err != nil {
		return r, err
	}
	texts := h[headerHeader]
	if packed, ok := h[headerPacked]; ok {
		n, err := strconv.Atoi(packed[0])
		if err != nil || n < 0 || n > len(m.Data) {
			return r, fmt.Errorf("record %d: %s is %q for a payload of %d bytes", seq, headerPacked, packed[0], len(m.Data))
		}
		texts, r.Value = strings.Split(string(m.Data[:n]), "\n"), m.Data[n:]
	}
	if _, null := h[headerNull]; null {
		r.Value = nil
	} else if r.Value == nil {
		r.Value = []byte{}
	}
	if key, ok := h[headerKey]; ok {
		r.Key = unescape(strings.TrimPrefix(key[0], "="))
	}
	if len(texts) > 0 {
		r.Headers = make([]messaging.Header, len(texts))
	}
	for i, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		r.Headers[i].Name = string(unescape(name))
		if ok {
			r.Headers[i].Value = unescape(value)
		}
	}
	return r, nil
}

func timeOf(h nats.Header) (int64, error) {
	if own := first(h, headerTime); own != "" {
		return strconv.ParseInt(own, 10, 64)
	}
	stored, err := time.Parse(time.RFC3339Nano, first(h, headerStored))
	return stored.UnixNano(), err
}

func first(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func escape(text []byte, name bool) string {
	plain := 0
	for plain < len(text) && stands(text[plain], name) {
		plain++
	}
	if plain == len(text) {
		return string(text)
	}
	out := append(make([]byte, 0, len(text)+16), text[:plain]...)
	for _, b := range text[plain:] {
		if stands(b, name) {
			out = append(out, b)
		} else {
			out = append(out, '%', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return string(out)
}

const hexDigits = "0123456789ABCDEF"

func stands(b byte, name bool) bool {
	return b > ' ' && b < 0x7f && b != '%' && !(name && b == '=')
}

func unescape(text string) []byte {
	if strings.IndexByte(text, '%') < 0 {
		return []byte(text)
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if b, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				out = append(out, b[0])
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}
