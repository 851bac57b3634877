package program

import "slices"

var (
	registered = []string{"avro", "protobuf", "json-schema"}
	theirs     = []string{"registry", "subject", "schema_file", "register_schema", "message"}
)

// checkFormats refuses formats that lack what they need, have what belongs to others, or would change events that are kept as they
// were. One problem for each key of a stream that does not go with its format.
func checkFormats(root *node, ps *problems) {
	streams := root.get("spec", "streams")
	kept := keptAsTheyWere(root)
	for _, name := range streams.keysOf() {
		stream, p := streams.below[name], path{"spec", "streams", name}
		formatProblems(root, name, stream, kept, func(key, code, why string) {
			at := stream.place
			if stream.has(key) {
				at = stream.keys[key]
			}
			ps.add(at, render(root, p.with(key)), code, why)
		})
	}
}

func formatProblems(root *node, name string, stream *node, kept map[string]bool, report func(key, code, why string)) {
	format := stream.get("format").text()
	if stream.has("format") && format == "" {
		return
	}
	behind := slices.Contains(registered, format)
	if !behind {
		for _, key := range theirs {
			if stream.has(key) {
				report(key, "not-for-kind", "goes with format: avro, protobuf or json-schema, and with no other")
			}
		}
	} else if !stream.has("registry") {
		report("registry", "missing", "is missing. Declared: "+listed(root.get("spec", "connections").keysOf())+".")
	}
	if behind && format != "protobuf" && stream.has("message") {
		report("message", "not-for-kind", "goes with format: protobuf, and with no other")
	}
	if register := stream.get("register_schema"); behind && register != nil && register.scalar == true && !stream.has("schema_file") {
		report("register_schema", "missing", "registers the schema of schema_file, which is missing")
	}
	if format != "" && format != "json" && kept[name] {
		report("format", "not-for-kind", "events come here as they were, so the stream has no format of its own. Leave it out")
	}
}

// keptAsTheyWere are the streams of dead letters and of rejected events.
func keptAsTheyWere(root *node) map[string]bool {
	kept := map[string]bool{}
	eachStreamCommand(root, func(_ path, command *node) {
		for _, key := range []string{"dead_letter", "rejected"} {
			if name := command.get(key).text(); name != "" {
				kept[name] = true
			}
		}
	})
	return kept
}
