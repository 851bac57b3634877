package program

const byDefault = "default"

// listedByDefault are the commands that exist without being listed.
var listedByDefault = []string{"train", "evaluate", "score-stream", "serve-api", "score-batch", "replay"}

// resolve fills in what the file leaves out, so that nobody after it has to guess: connections and topics of streams, connections of queries,
// commands not listed, kinds, inputs, dead letters, defaults; each value with its origin. It skips what is bad.
func resolve(root *node) {
	spec := root.get("spec")
	if !spec.isMap() {
		return
	}
	for _, key := range []string{"params", "connections", "datasets", "streams"} {
		ensure(spec, key, object{}, byDefault)
	}
	completeStreams(spec)
	completeDatasets(spec)
	listCommands(spec)
	for _, command := range spec.get("commands").items() {
		completeCommand(spec, command)
	}
}

func ensure(n *node, key string, value any, origin string) {
	if n.isMap() && n.below[key] == nil {
		n.put(key, grow(value, n.place, origin))
	}
}

// commandKind is the kind of a command's node; nothing while it is unknown.
func commandKind(command *node) string {
	return kindOf(command.get("name").text(), command.get("kind").text())
}

func completeStreams(spec *node) {
	streams, connections := spec.get("streams"), spec.get("connections")
	if len(streams.keysOf()) > 0 && connections.isMap() && len(connections.names) == 0 {
		connections.put("events", grow(object{{"url", "embedded:"}}, connections.place, byDefault))
	}
	names := connections.keysOf()
	for _, name := range streams.keysOf() {
		if len(names) == 1 {
			ensure(streams.below[name], "connection", names[0], "inferred from connections."+names[0])
		}
		ensure(streams.below[name], "topic", name, "inferred from streams."+name)
	}
	for _, name := range names {
		ensure(connections.below[name], "settings", object{}, byDefault)
	}
}

func completeDatasets(spec *node) {
	datasets, names := spec.get("datasets"), spec.get("connections").keysOf()
	for _, name := range datasets.keysOf() {
		if dataset := datasets.below[name]; len(names) == 1 && dataset.has("query") {
			ensure(dataset, "connection", names[0], "inferred from connections."+names[0])
		}
	}
}

func listCommands(spec *node) {
	ensure(spec, "commands", []any{}, byDefault)
	commands := spec.get("commands")
	if commands == nil || commands.shape != listShape {
		return
	}
	listed := map[string]bool{}
	for _, c := range commands.list {
		listed[commandKind(c)] = true
	}
	streams := spec.get("streams")
	for _, kind := range listedByDefault {
		given := object{{"name", kind}}
		switch {
		case listed[kind]:
			continue
		case kind == "score-stream" && !(streams.has("input") && streams.has("output")):
			continue
		case kind == "score-stream":
			given = append(given, field{"input", "input"}, field{"output", "output"})
		}
		commands.list = append(commands.list, grow(given, commands.place, byDefault))
	}
}

func completeCommand(spec, command *node) {
	kind := commandKind(command)
	if kind == "" || !command.isMap() {
		return
	}
	name := command.get("name").text()
	if name == "" {
		name = kind
	}
	ensure(command, "kind", kind, "inferred from commands."+name+".name")
	command.below["kind"].scalar = kind
	switch kind {
	case "train":
		inferDatasets(spec, command)
	case "evaluate":
		inferEvaluation(spec, command)
	case "score-stream":
		inferStreams(spec, command, name)
	}
	fill(command, rules().defaults(kind))
	for _, f := range rules().with(kind) {
		if command.has(f.key) {
			fill(command, f.value.(object))
		}
	}
}

func fill(n *node, defaults object) {
	for _, f := range defaults {
		ensure(n, f.key, f.value, byDefault)
		if below, nested := f.value.(object); nested && n.get(f.key).isMap() {
			fill(n.get(f.key), below)
		}
	}
}

func inferDatasets(spec, command *node) {
	datasets := spec.get("datasets")
	chosen := ""
	switch names := datasets.keysOf(); {
	case datasets.has("history"):
		chosen = "history"
	case len(names) == 1:
		chosen = names[0]
	}
	if chosen != "" {
		ensure(command, "input", chosen, "inferred from datasets."+chosen)
	}
	if datasets.has("validation") {
		ensure(command, "validation", "validation", "inferred from datasets.validation")
	}
}

func inferEvaluation(spec, command *node) {
	for _, train := range spec.get("commands").items() {
		if commandKind(train) != "train" {
			continue
		}
		if spec.get("datasets").has("validation") && !train.has("validation") {
			ensure(command, "input", "validation", "inferred from datasets.validation")
		} else if validation := train.get("validation"); validation != nil {
			ensure(command, "input", validation.text(), "inferred from commands."+train.get("name").text()+".validation")
		}
		return
	}
}

func inferStreams(spec, command *node, name string) {
	streams := spec.get("streams")
	if !streams.isMap() {
		return
	}
	if output := onlyOther(streams, command); output != "" {
		ensure(command, "output", output, "inferred from streams."+output)
	}
	source := command.get("input").text()
	if source == "" || !streams.has(source) {
		return
	}
	if own := streams.below[source].get("dead_letter"); own != nil {
		ensure(command, "dead_letter", own.text(), "inferred from streams."+source+".dead_letter")
	} else {
		ensure(command, "dead_letter", source+".dead", "inferred from commands."+name+".input")
	}
	declareDeadLetter(streams, command, source)
}

// onlyOther is the one stream that is left for the output when input and dead letters are taken, or nothing.
func onlyOther(streams, command *node) string {
	given := command.get("input")
	if given == nil {
		return ""
	}
	taken := map[string]bool{given.text(): true, given.text() + ".dead": true}
	for _, key := range []string{"dead_letter", "rejected"} {
		taken[command.get(key).text()] = true
	}
	for _, name := range streams.names {
		taken[streams.below[name].get("dead_letter").text()] = true
	}
	left := []string{}
	for _, name := range streams.names {
		if !taken[name] {
			left = append(left, name)
		}
	}
	if len(left) != 1 {
		return ""
	}
	return left[0]
}

// declareDeadLetter: departures.dead needs no declaration, it lies beside departures.
func declareDeadLetter(streams, command *node, source string) {
	name, stream := command.get("dead_letter").text(), streams.below[source]
	if name != source+".dead" || streams.below[name] != nil {
		return
	}
	beside := object{}
	if connection := stream.get("connection"); connection != nil {
		beside = append(beside, field{"connection", connection.text()})
	}
	if topic := stream.get("topic"); topic != nil {
		beside = append(beside, field{"topic", topic.text() + ".dead"})
	}
	streams.put(name, grow(beside, stream.place, "inferred from streams."+source))
}
