package program

import (
	"fmt"
	"regexp"
)

// step is one part of a path: a key (string) or an index (int).
type step = any

type path []step

func (p path) with(steps ...step) path { return append(append(path{}, p...), steps...) }

func (p path) under(steps ...step) bool {
	if len(p) < len(steps) {
		return false
	}
	for i, s := range steps {
		if p[i] != s {
			return false
		}
	}
	return true
}

type shape int

const (
	scalarShape shape = iota
	mapShape
	listShape
)

// A node is a map, list or scalar of program.yaml with its place, before it means anything. origin says who gave the
// value; a node that is bad has been told of already, or will be by its trouble.
type node struct {
	shape   shape
	scalar  any // nil, bool, int64, float64, string
	raw     string
	place   Place
	names   []string // keys in order
	below   map[string]*node
	keys    map[string]Place
	list    []*node
	origin  string
	bad     bool
	trouble *trouble
}

func newMap(at Place, origin string) *node {
	return &node{shape: mapShape, place: at, origin: origin, below: map[string]*node{}, keys: map[string]Place{}}
}

func (n *node) isMap() bool { return n != nil && n.shape == mapShape && !n.bad }

// keysOf lists the keys of a sound map.
func (n *node) keysOf() []string {
	if !n.isMap() {
		return nil
	}
	return n.names
}

// items lists what is in a sound list.
func (n *node) items() []*node {
	if n == nil || n.shape != listShape || n.bad {
		return nil
	}
	return n.list
}

// text is that of a sound scalar, else nothing.
func (n *node) text() string {
	if n == nil || n.shape != scalarShape || n.bad {
		return ""
	}
	s, _ := n.scalar.(string)
	return s
}

func (n *node) has(key string) bool { return n.isMap() && n.below[key] != nil }

// get is the sound node below, or nil.
func (n *node) get(keys ...string) *node {
	for _, key := range keys {
		if !n.isMap() {
			return nil
		}
		n = n.below[key]
	}
	if n == nil || n.bad {
		return nil
	}
	return n
}

// put sets a key of a map; a new key's place is the node's.
func (n *node) put(key string, child *node) *node {
	if n.below[key] == nil {
		n.names = append(n.names, key)
	}
	if _, known := n.keys[key]; !known {
		n.keys[key] = child.place
	}
	n.below[key] = child
	return child
}

func (n *node) drop(key string) {
	for i, name := range n.names {
		if name == key {
			n.names = append(n.names[:i:i], n.names[i+1:]...)
		}
	}
	delete(n.below, key)
}

// plain is the values alone, without those that are bad.
func (n *node) plain() any {
	switch n.shape {
	case mapShape:
		m := make(map[string]any, len(n.names))
		for _, k := range n.names {
			if !n.below[k].bad {
				m[k] = n.below[k].plain()
			}
		}
		return m
	case listShape:
		l := make([]any, 0, len(n.list))
		for _, item := range n.list {
			l = append(l, item.plain())
		}
		return l
	}
	return n.scalar
}

// walk visits all nodes with their paths, parents first.
func (n *node) walk(at path, visit func(path, *node)) {
	visit(at, n)
	for _, k := range n.names {
		n.below[k].walk(at.with(k), visit)
	}
	for i, item := range n.list {
		item.walk(at.with(i), visit)
	}
}

func (n *node) child(s step) *node {
	switch s := s.(type) {
	case string:
		return n.below[s]
	case int:
		if s < len(n.list) {
			return n.list[s]
		}
	}
	return nil
}

// grow makes a tree of plain values that nobody wrote: defaults and what was inferred.
func grow(value any, at Place, origin string) *node {
	switch v := value.(type) {
	case object:
		n := newMap(at, origin)
		for _, f := range v {
			n.put(f.key, grow(f.value, at, origin))
		}
		return n
	case []any:
		n := &node{shape: listShape, place: at, origin: origin}
		for _, item := range v {
			n.list = append(n.list, grow(item, at, origin))
		}
		return n
	}
	return &node{scalar: value, raw: fmt.Sprint(value), place: at, origin: origin}
}

var simpleKey = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// render is a path as people read it: without "spec", commands by name: commands.score-stream.batch.events.
func render(root *node, p path) string {
	from := 0
	if len(p) > 1 && p[0] == "spec" {
		from = 1
	}
	text := ""
	for i := from; i < len(p); i++ {
		word := ""
		switch s := p[i].(type) {
		case int:
			if word = commandName(root, p[:i+1]); word == "" {
				text += fmt.Sprintf("[%d]", s)
				continue
			}
		case string:
			if word = s; !simpleKey.MatchString(s) {
				word = quote(s)
			}
		}
		if text != "" {
			text += "."
		}
		text += word
	}
	return text
}

func commandName(root *node, p path) string {
	if len(p) != 3 || !p.under("spec", "commands") {
		return ""
	}
	n := root
	for _, s := range append(p.with(), "name") {
		if n = n.child(s); n == nil {
			return ""
		}
	}
	name, _ := n.scalar.(string)
	return name
}
