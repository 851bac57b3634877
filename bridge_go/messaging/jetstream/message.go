package jetstream

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
//	name: value               a record's header, when all of them can stand so (see Native)
//	Ds-Names: b,a             the order of these, when it is not that of their names
//	Ds-Header: name=value     otherwise one each, in order; "name" alone has a null value
//	Ds-Time: 1700000000       the record's own time in ns, otherwise the store's
//	Ds-Packed: 1234           the headers were too many: the payload begins with 1234 bytes, a Ds-Header's text a line
//	Nats-Msg-Id: id           for de-duplication
//
// with %XX for bytes that a header line cannot hold: controls, spaces, %, = in names, and all beyond ASCII. Headers that other
// writers made are a record's headers, in the order of their names.
const (
	headerKey    = "Ds-Key"
	headerNull   = "Ds-Null"
	headerHeader = "Ds-Header"
	headerTime   = "Ds-Time"
	headerPacked = "Ds-Packed"
	headerNames  = "Ds-Names"
)

// packAbove is the size of headers from which they go into the payload: the store takes 64 KiB of them.
const packAbove = 32 << 10

// Encode makes a message of a record. The message points into the record. Native writes headers so that
// other readers find them under their names, where they can be written so.
func Encode(r *messaging.Outgoing, m *nats.Msg, native bool) {
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
		h[nats.MsgIdHdr] = []string{idText(r.ID)}
	}
	m.Header, m.Data = h, r.Value
	if len(r.Headers) == 0 || native && standNatively(r.Headers, h) {
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

// Decode makes a record of a message as the store hands it out by position.
func Decode(m *nats.Msg) (messaging.Record, error) {
	seq, err := strconv.ParseInt(first(m.Header, headerSequence), 10, 64)
	if err != nil {
		return messaging.Record{}, fmt.Errorf("a message without a sequence: %w", err)
	}
	stored, err := time.Parse(time.RFC3339Nano, first(m.Header, headerStored))
	if err != nil && first(m.Header, headerTime) == "" {
		return messaging.Record{}, fmt.Errorf("record %d: when it was stored: %w", seq, err)
	}
	return DecodeAt(m, seq, stored.UnixNano())
}

// DecodeAt makes a record of a message of which it is known where and when it was stored.
func DecodeAt(m *nats.Msg, seq, stored int64) (r messaging.Record, err error) {
	h := m.Header
	r = messaging.Record{Value: m.Data, Offset: seq, Time: stored}
	if own := first(h, headerTime); own != "" {
		if r.Time, err = strconv.ParseInt(own, 10, 64); err != nil {
			return r, fmt.Errorf("record %d: %s: %w", seq, headerTime, err)
		}
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
	if len(texts) == 0 {
		r.Headers = nativeHeaders(h)
		return r, nil
	}
	r.Headers = make([]messaging.Header, len(texts))
	for i, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		r.Headers[i].Name = string(unescape(name))
		if ok {
			r.Headers[i].Value = unescape(value)
		}
	}
	return r, nil
}

func first(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// idText is how an id stands in a header.
func idText(id string) string { return escape([]byte(id), false) }

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
