package program

// checkStructure asks: is every key known, every value of its type, nothing required missing? It marks what is not as bad.
func checkStructure(root *node, ps *problems) {
	s := structure{root, ps}
	s.check(nil, root, rules().root)
}

type structure struct {
	root     *node
	problems *problems
}

func (s structure) report(at Place, p path, code, text string) {
	s.problems.add(at, render(s.root, p), code, text)
}

func (s structure) check(p path, n *node, rule object) {
	if n.bad {
		return
	}
	rule = rules().follow(rule)
	switch {
	case rule.text("x-expect") != "":
		if !fits(rule, n) {
			s.refuse(p, n, "value", show(n, p)+" is not "+rule.text("x-expect"))
		}
	case rule.text("type") == "object":
		s.checkMap(p, n, rule)
	case rule.text("type") == "array":
		s.checkList(p, n, rule)
	}
}

func (s structure) refuse(p path, n *node, code, text string) {
	s.report(n.place, p, code, text)
	n.bad = true
}

func (s structure) checkList(p path, n *node, rule object) {
	if n.shape != listShape {
		s.refuse(p, n, "type", "expected a list, got "+show(n, p))
		return
	}
	for i, item := range n.list {
		s.check(p.with(i), item, rule.object("items"))
	}
}

func (s structure) checkMap(p path, n *node, rule object) {
	if n.shape != mapShape {
		s.refuse(p, n, "type", "expected a map, got "+show(n, p))
		return
	}
	properties := rule.object("properties")
	for _, key := range n.names {
		s.checkKey(p.with(key), n, key, properties, rule)
	}
	required, _ := rule.get("required").([]any)
	for _, key := range required {
		if name := key.(string); n.below[name] == nil {
			s.report(n.place, p.with(name), "missing", missing(rules().follow(properties.object(name)), properties.object(name)))
		}
	}
}

func (s structure) checkKey(p path, n *node, key string, properties, rule object) {
	child := n.below[key]
	if known := properties.object(key); known != nil {
		s.check(p, child, known)
		return
	}
	switch others := rule.get("additionalProperties").(type) {
	case object:
		if child.bad {
			return
		}
		if names := rule.object("propertyNames"); names != nil && !matches(names.text("pattern"), key) {
			s.report(n.keys[key], p, "value", quote(key)+" is not "+names.text("x-expect"))
			child.bad = true // what stands under a bad key is not looked at
			return
		}
		s.check(p, child, others)
	case bool:
		if !others && !child.bad {
			s.report(n.keys[key], p, "unknown-key", unknown("unknown key", key, properties.keys(), "Known"))
			child.bad = true
		}
	}
}

func missing(rule, property object) string {
	for _, r := range []object{property, rule} {
		if examples, _ := r.get("examples").([]any); len(examples) > 0 {
			return "is missing. For example: " + examples[0].(string)
		}
	}
	return "is missing"
}

// show is a value as a problem quotes it; never what stands in connections, for it may be a secret.
func show(n *node, p path) string {
	switch {
	case n.shape == mapShape:
		return "a map"
	case n.shape == listShape:
		return "a list"
	case p.under("spec", "connections"):
		return "the value"
	case n.scalar == nil:
		return "nothing"
	}
	if text, ok := n.scalar.(string); ok {
		return quote(text)
	}
	return n.raw
}

// fits says whether a single value satisfies a rule: anyOf, const, enum, type, pattern, minimum and maximum.
func fits(rule object, n *node) bool {
	if n.shape != scalarShape {
		return false
	}
	if options, _ := rule.get("anyOf").([]any); options != nil {
		for _, option := range options {
			if fits(option.(object), n) {
				return true
			}
		}
		return false
	}
	if constant := rule.get("const"); constant != nil {
		return n.scalar == constant
	}
	if words, _ := rule.get("enum").([]any); words != nil {
		for _, word := range words {
			if n.scalar == word {
				return true
			}
		}
		return false
	}
	return fitsType(rule, n.scalar)
}

func fitsType(rule object, value any) bool {
	switch v := value.(type) {
	case string:
		return rule.text("type") == "string" && (rule.text("pattern") == "" || matches(rule.text("pattern"), v))
	case bool:
		return rule.text("type") == "boolean"
	case int64:
		return (rule.text("type") == "number" || rule.text("type") == "integer") && inBounds(rule, v)
	case float64:
		return rule.text("type") == "number" && inBounds(rule, v)
	}
	return false
}

func inBounds[T int64 | float64](rule object, v T) bool {
	least, bounded := rule.get("minimum").(int64)
	most, limited := rule.get("maximum").(int64)
	return (!bounded || v >= T(least)) && (!limited || v <= T(most))
}
