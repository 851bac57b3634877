package program

import (
	"fmt"
	"strings"
)

// checkDuplicates finds two commands of one name in one file, before another file is merged by name.
func checkDuplicates(root *node, ps *problems) {
	first := map[string]int{}
	for i, command := range root.get("spec", "commands").items() {
		name := command.get("name")
		if name.text() == "" {
			continue
		}
		if line, twice := first[name.text()]; twice {
			p := path{"spec", "commands", i, "name"}
			ps.addf(name.place, render(root, p), "duplicate", "a second command %s, the first is in line %d", quote(name.text()), line)
			continue
		}
		first[name.text()] = name.place.Line
	}
}

// checkNames asks whether the names in a resolved tree fit together: kinds, references, what a kind takes, ranges, circles.
func checkNames(root *node, ps *problems) {
	c := names{root, ps}
	store := path{"spec", "model_store"}
	c.reference(store, root.get("spec", "model_store"), "connection")
	c.datasets()
	c.streams()
	for i, command := range root.get("spec", "commands").items() {
		p := path{"spec", "commands", i}
		if kind := commandKind(command); kind != "" {
			c.command(p, command, kind)
		} else {
			c.unknownKind(p, command)
		}
	}
	checkCircles(root, ps)
	checkGuarantees(root, ps)
	checkEnds(root, ps)
	checkRequests(root, ps)
	checkFailovers(root, ps)
	checkReaders(root, ps)
	checkOrder(root, ps)
	checkFormats(root, ps)
	checkVersions(root, ps)
}

type names struct {
	root     *node
	problems *problems
}

func (c names) report(at Place, p path, code, text string) {
	c.problems.add(at, render(c.root, p), code, text)
}

func (c names) section(what string) *node { return c.root.get("spec", what+"s") }

// unsound: a section that is no map has been told of; nobody knows what it would have declared.
func (c names) unsound(what string) bool {
	spec := c.root.get("spec")
	return spec.has(what+"s") && spec.below[what+"s"].bad
}

// declared lists what the file declares, without what was inferred.
func (c names) declared(what string) []string {
	found := []string{}
	section := c.section(what)
	for _, name := range section.keysOf() {
		if !inferred(section.below[name]) {
			found = append(found, name)
		}
	}
	return found
}

func inferred(n *node) bool { return strings.HasPrefix(n.origin, "inferred") }

// datasets: each is a file or a query, and only a query has what belongs to one.
func (c names) datasets() {
	datasets := c.section("dataset")
	for _, name := range datasets.keysOf() {
		p, dataset := path{"spec", "datasets", name}, datasets.below[name]
		switch {
		case !dataset.isMap() || dataset.bad:
		case dataset.has("query"):
			c.query(p, dataset)
		case !dataset.has("path"):
			c.report(dataset.place, p.with("path"), "missing", "is missing. For example: data/history.parquet")
		default:
			for _, key := range []string{"connection", "params"} {
				if dataset.has(key) && !dataset.below[key].bad {
					c.report(dataset.keys[key], p.with(key), "not-for-kind", "belongs to a query, and this dataset is a file")
				}
			}
		}
	}
}

func (c names) query(p path, dataset *node) {
	if dataset.has("path") {
		c.report(dataset.keys["path"], p.with("path"), "not-for-kind",
			"a dataset is a file or a query, not both. Leave out path or query")
	}
	if !dataset.has("connection") && !c.unsound("connection") {
		c.report(dataset.place, p.with("connection"), "missing", "is missing. Declared: "+listed(c.declared("connection"))+".")
	}
	c.reference(p.with("connection"), dataset.get("connection"), "connection")
}

func (c names) streams() {
	streams := c.section("stream")
	for _, name := range streams.keysOf() {
		p, stream := path{"spec", "streams", name}, streams.below[name]
		if stream.isMap() && !stream.has("connection") && !inferred(stream) && !c.unsound("connection") {
			c.report(stream.place, p.with("connection"), "missing", "is missing. Declared: "+listed(c.declared("connection"))+".")
		}
		c.reference(p.with("connection"), stream.get("connection"), "connection")
		if dead := stream.get("dead_letter"); dead.text() != name+".dead" {
			c.reference(p.with("dead_letter"), dead, "stream")
		}
		c.reference(p.with("registry"), stream.get("registry"), "connection")
	}
}

func (c names) unknownKind(p path, command *node) {
	key := "name"
	if command.has("kind") {
		key = "kind"
	}
	n := command.get(key)
	if n.text() == "" {
		return
	}
	text := unknown("no kind of command", n.text(), rules().kindNames, "Known")
	if key == "name" {
		text += " A command with a name of its own says its kind."
	}
	c.report(n.place, p.with(key), "kind", text)
}

func (c names) command(p path, command *node, kind string) {
	fields := rules().fields(kind)
	known := map[string]bool{}
	for _, f := range fields {
		known[f.key] = true
	}
	for _, key := range command.keysOf() {
		switch {
		case known[key]:
			if what := fields.text(key); what != "" {
				c.reference(p.with(key), command.get(key), what)
			}
		case !rules().commonFields[key] && !command.below[key].bad:
			c.report(command.keys[key], p.with(key), "not-for-kind",
				fmt.Sprintf("a command of kind %s takes no %s. It takes: %s.", kind, key, strings.Join(fields.keys(), ", ")))
		}
	}
	if kind == "score-stream" {
		for _, key := range []string{"input", "output"} {
			if !command.has(key) {
				c.report(command.place, p.with(key), "missing", "is missing. Declared: "+listed(c.declared("stream"))+".")
			}
		}
	}
	c.belonging(p, command, kind)
	c.scale(p.with("deploy", "scale", "min"), command.get("deploy", "scale"))
}

// belonging: what is said about a shadow needs one.
func (c names) belonging(p path, command *node, kind string) {
	for _, with := range rules().with(kind) {
		for _, key := range with.value.(object).keys() {
			if command.has(key) && !command.has(with.key) {
				c.report(command.keys[key], p.with(key), "not-for-kind",
					fmt.Sprintf("belongs to %s, which is missing. Write for example %s: %s", with.key, with.key, exampleOf(with.key)))
			}
		}
	}
}

func (c names) reference(p path, n *node, what string) {
	if n.text() == "" || inferred(n) {
		return
	}
	declared := []string{}
	for _, w := range strings.Split(what, " or ") {
		if c.unsound(w) || c.section(w).has(n.text()) {
			return
		}
		declared = append(declared, c.declared(w)...)
	}
	text := unknown("no "+what, n.text(), declared, "Declared")
	if other := map[string]string{"stream": "dataset", "dataset": "stream"}[what]; other != "" && c.section(other).has(n.text()) {
		text = fmt.Sprintf("%s is a %s, and a %s is wanted here", quote(n.text()), other, what)
	}
	c.report(n.place, p, "unknown-name", text)
}

func (c names) scale(p path, scale *node) {
	if !scale.has("min") || !scale.has("max") || scale.get("min") == nil || scale.get("max") == nil {
		return
	}
	least, isLeast := scale.get("min").scalar.(int64)
	most, isMost := scale.get("max").scalar.(int64)
	if isLeast && isMost && least > most {
		c.report(scale.get("min").place, p, "range", fmt.Sprintf("%d is more than max, which is %d", least, most))
	}
}

// exampleOf is a value of a key that others belong to.
func exampleOf(key string) string {
	if key == "request_log" {
		return "requests"
	}
	return "latest"
}
