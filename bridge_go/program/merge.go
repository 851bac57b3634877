package program

import (
	"regexp"
	"strings"
)

var paramName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// overlay lays over on base and wins: maps deep, lists of named maps by name, everything else as a whole.
func overlay(base, over *node) *node {
	if base.isMap() && over.isMap() {
		for _, key := range over.names {
			child := over.below[key]
			if known := base.below[key]; known != nil {
				child = overlay(known, child)
			}
			base.put(key, child)
			base.keys[key] = over.keys[key]
		}
		return base
	}
	if named(base) && named(over) {
		return byName(base, over)
	}
	return over
}

func named(n *node) bool {
	for _, item := range n.items() {
		if item.get("name").text() == "" {
			return false
		}
	}
	return len(n.items()) > 0
}

func byName(base, over *node) *node {
	merged := &node{shape: listShape, place: base.place, origin: base.origin, list: append([]*node{}, base.list...)}
next:
	for _, item := range over.list {
		for i, known := range merged.list {
			if known.get("name").text() == item.get("name").text() {
				merged.list[i] = overlay(known, item)
				continue next
			}
		}
		merged.list = append(merged.list, item)
	}
	return merged
}

// dropNulls: a key without a value is a key that is absent; but null is a value in parameters, and a name is declared by
// itself.
func dropNulls(n *node, at path) {
	if len(at) == 2 && at.under("spec", "params") {
		return
	}
	for _, key := range append([]string{}, n.keysOf()...) {
		child := n.below[key]
		switch null := child.shape == scalarShape && child.scalar == nil && !child.bad; {
		case null && declaring(at):
			n.below[key] = newMap(child.place, child.origin)
		case null:
			n.drop(key)
		default:
			dropNulls(child, at.with(key))
		}
	}
	for i, item := range n.items() {
		dropNulls(item, at.with(i))
	}
}

func declaring(at path) bool {
	return len(at) == 2 && (at.under("spec", "connections") || at.under("spec", "datasets") || at.under("spec", "streams"))
}

// applyParams sets spec.params from name=value words; a dot in the name goes down into a map.
func applyParams(root *node, params []string, ps *problems) {
	for _, word := range params {
		name, raw, equals := strings.Cut(word, "=")
		at := Place{File: "--param " + name}
		ps.files = append(ps.files, at.File)
		if !equals || !paramName.MatchString(name) {
			ps.add(at, "", "param", quote(word)+" is not written name=value")
			continue
		}
		value, why := paramValue(raw)
		if why != nil {
			ps.add(at, "", why.code, why.text)
			continue
		}
		setParam(root, strings.Split(name, "."), grow(value, at, "--param"))
	}
}

func paramValue(raw string) (any, *trouble) {
	if raw == "" || !strings.Contains(`[{"`, raw[:1]) {
		return plainScalar(raw)
	}
	value, err := parseJSON([]byte(raw))
	if err != nil {
		return nil, &trouble{"param", quote(raw) + " begins as JSON and is none"}
	}
	return value, nil
}

func setParam(root *node, steps []string, value *node) {
	n := root
	for _, s := range append([]string{"spec", "params"}, steps[:len(steps)-1]...) {
		child := n.below[s]
		if !child.isMap() {
			child = n.put(s, newMap(value.place, value.origin))
		}
		n = child
	}
	last := steps[len(steps)-1]
	n.put(last, value)
	n.keys[last] = value.place
}
