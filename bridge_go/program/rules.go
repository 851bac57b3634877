package program

import (
	_ "embed"
	"fmt"
	"regexp"
	"sync"
)

// The rules are those that the Python side generates from its pydantic models. A test there fails when this copy is stale.
//
//go:embed program.schema.json
var schemaFile []byte

// Schema is the JSON Schema of program.yaml.
func Schema() []byte { return schemaFile }

type ruleBook struct {
	root, defs   object
	aliases      object
	kinds        object
	kindNames    []string
	commonFields map[string]bool
}

// rules parses the embedded schema once; it is ours, so a mistake in it is a panic.
var rules = sync.OnceValue(func() *ruleBook {
	value, err := parseJSON(schemaFile)
	if err != nil {
		panic(fmt.Sprintf("program: program.schema.json: %v", err))
	}
	root := value.(object)
	x := root.object("x-kinds")
	book := &ruleBook{
		root: root, defs: root.object("$defs"), aliases: x.object("aliases"), kinds: x.object("kinds"),
		kindNames: x.object("kinds").keys(), commonFields: map[string]bool{},
	}
	for _, name := range x.get("common").([]any) {
		book.commonFields[name.(string)] = true
	}
	return book
})

// follow resolves a $ref, which always names one of $defs.
func (b *ruleBook) follow(rule object) object {
	const prefix = "#/$defs/"
	if ref := rule.text("$ref"); ref != "" {
		return b.defs.object(ref[len(prefix):])
	}
	return rule
}

// fields of a kind: what each refers to (stream, dataset, "stream or dataset", or nothing), in order.
func (b *ruleBook) fields(kind string) object { return b.kinds.object(kind).object("fields") }

func (b *ruleBook) defaults(kind string) object { return b.kinds.object(kind).object("defaults") }

// with are the defaults that go with a key, where it is written, by that key.
func (b *ruleBook) with(kind string) object { return b.kinds.object(kind).object("with") }

// kindOf is the kind of a command: as told, else its name. Nothing for a name that is not a kind.
func kindOf(name, kind string) string {
	told := kind
	if told == "" {
		told = name
	}
	if alias := rules().aliases.text(told); alias != "" {
		told = alias
	}
	if rules().kinds.object(told) == nil {
		return ""
	}
	return told
}

var patterns sync.Map // of *regexp.Regexp by its text

func matches(pattern, text string) bool {
	re, known := patterns.Load(pattern)
	if !known {
		re, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(pattern))
	}
	return re.(*regexp.Regexp).MatchString(text)
}
