package columns

import "unicode/utf8"

// An Unknown is a field that events have and their class does not.
type Unknown struct {
	Name string // its first 100 characters
	N    int    // the events that have it
}

// Bounds of what is kept of unknown fields: names can be data.
const (
	mostTold    = 16
	longestTold = 100 // characters
	mostLearnt  = 256
	longestLead = 256
)

// A key is a name that events have.
type key struct {
	lead string // as it stands in events: "name":
	next int    // the key that came behind it the last time, and so is looked for first

	name string // of an unknown one, shortened
	last uint64 // the last event that has it
	n    int    // rows of the batch that have it
}

// keys finds the field of a name. Events of a stream have their names in one order, so that nearly always the name behind the last
// one is known before it is read, and one comparison is all.
//
// Names that the class does not have are learnt, within a bound, so that they are expected as well.
type keys struct {
	all    []key // the fields in their order, then one that is never met and stands before the first name, then what was learnt
	fields *dictionary
	others map[string]int
	start  int   // the key that is never met: there are as many fields
	noted  []int // unknown keys of the event at hand
}

func newKeys(p *Plan) keys {
	k := keys{fields: &p.names, others: map[string]int{}, start: len(p.fields)}
	for i := range p.fields {
		lead := append(appendString(nil, []byte(p.fields[i].wire)), ':')
		k.all = append(k.all, key{lead: string(lead), next: (i + 1) % len(p.fields)})
	}
	k.all = append(k.all, key{})
	return k
}

// reset begins a batch. What was learnt stays, unless there was too much of it.
func (k *keys) reset() {
	k.noted = k.noted[:0]
	for i := k.start + 1; i < len(k.all); i++ {
		k.all[i].n = 0
	}
	if len(k.others) < mostLearnt {
		return
	}
	clear(k.others)
	k.all = k.all[:k.start+1]
	for i := range k.all {
		k.all[i].next = min(k.all[i].next, k.start)
	}
}

// find looks up a name that was not expected behind key `before`; lead is how it stands in the event. The key is k.start
// where the name is unknown and there is no room to learn it.
func (k *keys) find(before int, name, lead []byte) int {
	at, known := k.fields.find(name)
	if !known {
		if at = k.learn(name, lead); at == k.start {
			return at
		}
	}
	k.all[before].next = at
	return at
}

func (k *keys) learn(name, lead []byte) int {
	name = shortened(name)
	if at, known := k.others[string(name)]; known {
		return at
	}
	if len(k.others) == mostLearnt {
		return k.start
	}
	fresh := key{name: string(name)}
	if len(lead) <= longestLead {
		fresh.lead = string(lead)
	}
	at := len(k.all)
	k.others[fresh.name] = at
	k.all = append(k.all, fresh)
	return at
}

func shortened(name []byte) []byte {
	if len(name) <= longestTold {
		return name
	}
	at := 0
	for n := 0; n < longestTold && at < len(name); n++ {
		_, size := utf8.DecodeRune(name[at:])
		at += size
	}
	return name[:at]
}

// note remembers that an event has an unknown key. It counts once the event is a row.
func (k *keys) note(at int, event uint64) {
	if at > k.start && k.all[at].last != event {
		k.all[at].last = event
		k.noted = append(k.noted, at)
	}
}

func (k *keys) keep() {
	for _, at := range k.noted {
		k.all[at].n++
	}
	k.noted = k.noted[:0]
}

func (k *keys) drop() { k.noted = k.noted[:0] }

func (k *keys) told() (names []Unknown) {
	for i := k.start + 1; i < len(k.all) && len(names) < mostTold; i++ {
		if k.all[i].n > 0 {
			names = append(names, Unknown{k.all[i].name, k.all[i].n})
		}
	}
	return names
}
