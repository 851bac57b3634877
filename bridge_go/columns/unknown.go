package columns

import "unicode/utf8"

// Bounds of what is told of unknown fields: names can be data.
const (
	mostUnknown    = 16
	longestUnknown = 100 // characters
)

// unknowns counts the names that an event has and its class does not. What an event adds counts once the event is a row.
type unknowns struct {
	kept  []Unknown
	names []string // of the event at hand
}

func (u *unknowns) reset() { u.kept, u.names = nil, u.names[:0] }

func (u *unknowns) drop() { u.names = u.names[:0] }

// note remembers a name of the event at hand, once.
func (u *unknowns) note(name []byte) {
	name = shortened(name)
	for _, known := range u.names {
		if known == string(name) {
			return
		}
	}
	if len(u.names) < mostUnknown {
		u.names = append(u.names, string(name))
	}
}

func shortened(name []byte) []byte {
	if len(name) <= longestUnknown {
		return name
	}
	at := 0
	for n := 0; n < longestUnknown && at < len(name); n++ {
		_, size := utf8.DecodeRune(name[at:])
		at += size
	}
	return name[:at]
}

func (u *unknowns) keep() {
	for _, name := range u.names {
		u.count(name)
	}
	u.names = u.names[:0]
}

func (u *unknowns) count(name string) {
	for i := range u.kept {
		if u.kept[i].Name == name {
			u.kept[i].N++
			return
		}
	}
	if len(u.kept) < mostUnknown {
		u.kept = append(u.kept, Unknown{name, 1})
	}
}
