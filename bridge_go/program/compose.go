package program

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	maxBytes = 1 << 20
	maxDepth = 32
	maxNodes = 20_000

	tagText = "tags such as !!str are not used here. Quote what is text"
)

// errUnreadable: the file holds no tree at all; why is in the problems.
var errUnreadable = errors.New("program: unreadable")

// compose is the tree of one document. Mistakes that leave a tree are added to the problems. What YAML allows and a
// program.yaml does not is refused here.
func compose(data []byte, file string, ps *problems) (*node, error) {
	ps.files = append(ps.files, file)
	c := &composer{file: file, problems: ps, open: map[*yaml.Node]bool{}}
	start := Place{file, 1, 1}
	switch {
	case len(data) > maxBytes:
		return nil, c.fail(start, "size", "the file is larger than 1 MiB")
	case !utf8.Valid(data):
		return nil, c.fail(start, "encoding", "the file is not UTF-8")
	}
	return c.document(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
}

type composer struct {
	file     string
	problems *problems
	open     map[*yaml.Node]bool
	nodes    int
}

func (c *composer) fail(at Place, code, text string) error {
	c.problems.add(at, "", code, text)
	return errUnreadable
}

func (c *composer) place(n *yaml.Node) Place { return Place{c.file, n.Line, n.Column} }

func (c *composer) document(data []byte) (*node, error) {
	if at := bytes.IndexByte(data, '\t'); at >= 0 {
		return nil, c.tab(data[:at])
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var documents []*yaml.Node
	for {
		document := new(yaml.Node)
		err := decoder.Decode(document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, c.syntax(err)
		}
		documents = append(documents, document)
	}
	switch len(documents) {
	case 0:
		return nil, c.empty()
	case 1:
		if at := looseColon(documents[0]); at != nil {
			return nil, c.fail(c.place(at), "yaml", "not YAML: behind a colon a space is missing, or quotes around it")
		}
		return c.root(documents[0].Content[0])
	}
	return nil, c.fail(c.place(documents[1]), "documents", "a second document starts here. One file holds one program")
}

// looseColon finds a plain word that ends with a colon, as in {url: embedded:}. Readers of YAML disagree about it.
func looseColon(y *yaml.Node) *yaml.Node {
	if y.Kind == yaml.ScalarNode && !isQuoted(y) && strings.HasSuffix(y.Value, ":") {
		return y
	}
	for _, below := range y.Content {
		if at := looseColon(below); at != nil {
			return at
		}
	}
	return nil
}

func isQuoted(y *yaml.Node) bool {
	return y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

func (c *composer) empty() error {
	return c.fail(Place{c.file, 1, 1}, "empty", "the file is empty. A program starts with apiVersion: ds-runner.dev/v1alpha1")
}

func (c *composer) root(top *yaml.Node) (*node, error) {
	root, err := c.node(top, 1)
	if err != nil {
		return nil, err
	}
	if root.shape == scalarShape && root.scalar == nil && !root.bad {
		return nil, c.empty()
	}
	c.tellTroubles(root)
	if root.shape != mapShape {
		return nil, c.fail(root.place, "type", "a program is a map of apiVersion, kind, metadata and spec")
	}
	return root, nil
}

// tellTroubles comes last, because only the whole tree knows a value's path: commands are named by a key that may come
// behind the value.
func (c *composer) tellTroubles(root *node) {
	root.walk(nil, func(p path, n *node) {
		if n.trouble != nil {
			c.problems.add(n.place, render(root, p), n.trouble.code, n.trouble.text)
		}
	})
}

// tab: YAML allows some tabs, and its readers disagree about which, so none is.
func (c *composer) tab(before []byte) error {
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	at := Place{c.file, bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(line) + 1}
	return c.fail(at, "tab", `a tab stands here. YAML is written with spaces, and a tab in text as \t in double quotes`)
}

// syntax: a file that is not YAML has this one problem, whatever else is wrong with its beginning.
func (c *composer) syntax(err error) error {
	at := Place{c.file, 1, 1}
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	if _, scanErr := fmt.Sscanf(reason, "line %d:", &at.Line); scanErr == nil {
		_, reason, _ = strings.Cut(reason, ": ")
	}
	return c.fail(at, "yaml", "not YAML: "+reason)
}

// node turns a YAML node into ours. Each use of an anchor becomes its own tree, or else merging into one would change the
// others; its places are those of the anchor.
func (c *composer) node(y *yaml.Node, depth int) (*node, error) {
	if y.Kind == yaml.AliasNode {
		return c.alias(y, depth)
	}
	if c.nodes++; depth > maxDepth || c.nodes > maxNodes {
		return nil, c.fail(c.place(y), "size", fmt.Sprintf("more than %d levels or %d values", maxDepth, maxNodes))
	}
	c.open[y] = true
	defer delete(c.open, y)
	n, err := c.content(y, depth)
	if err == nil && y.Style&yaml.TaggedStyle != 0 {
		n.bad, n.trouble = true, &trouble{"tag", tagText}
	}
	return n, err
}

func (c *composer) alias(y *yaml.Node, depth int) (*node, error) {
	if c.open[y.Alias] {
		return nil, c.fail(c.place(y), "alias", fmt.Sprintf("*%s contains itself", y.Value))
	}
	n, err := c.node(y.Alias, depth)
	if err != nil {
		last := &c.problems.found[len(c.problems.found)-1]
		if last.Code == "size" {
			last.Place = c.place(y)
		}
		return nil, err
	}
	// Troubles are told once, where they were written.
	n.walk(nil, func(_ path, below *node) { below.trouble = nil })
	return n, nil
}

func (c *composer) content(y *yaml.Node, depth int) (*node, error) {
	at := c.place(y)
	switch y.Kind {
	case yaml.MappingNode:
		return c.mapping(y, depth)
	case yaml.SequenceNode:
		n := &node{shape: listShape, place: at, origin: at.String()}
		for _, item := range y.Content {
			child, err := c.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, child)
		}
		return n, nil
	}
	n := &node{scalar: y.Value, raw: y.Value, place: at, origin: at.String()}
	if !isQuoted(y) {
		if n.scalar, n.trouble = plainScalar(y.Value); n.trouble != nil {
			n.scalar, n.bad = y.Value, true
		}
	}
	return n, nil
}

func (c *composer) mapping(y *yaml.Node, depth int) (*node, error) {
	n := newMap(c.place(y), c.place(y).String())
	for i := 0; i < len(y.Content); i += 2 {
		key := y.Content[i]
		if key.Kind != yaml.ScalarNode {
			if _, err := c.node(key, depth+1); err != nil {
				return nil, err
			}
		}
		value, err := c.node(y.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if value.shape == scalarShape && value.raw == "" && value.scalar == nil {
			value.place, value.origin = c.place(key), c.place(key).String() // an empty value stands nowhere: its key does
		}
		c.entry(n, key, value)
	}
	return n, nil
}

func (c *composer) entry(n *node, key *yaml.Node, value *node) {
	at := c.place(key)
	switch first, twice := n.keys[key.Value]; {
	case key.Kind != yaml.ScalarNode:
		c.problems.add(at, "", "key", "a key is a plain word")
	case key.Style&yaml.TaggedStyle != 0:
		c.problems.add(at, "", "tag", tagText)
	case key.Anchor != "":
		c.problems.add(at, "", "alias", "an anchor on a key is not used here")
	case key.Value == "<<" && !isQuoted(key):
		c.problems.add(at, "", "merge", "merge keys are not used here. Write the keys out")
	case twice:
		c.problems.addf(at, "", "duplicate-key", "the key %s is written twice, first in line %d", quote(key.Value), first.Line)
	default:
		n.put(key.Value, value)
		n.keys[key.Value] = at
	}
}
