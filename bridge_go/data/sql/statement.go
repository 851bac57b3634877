package sql

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A Dialect is how a database writes what is not SQL proper.
type Dialect struct {
	DollarQuotes bool   // $$text$$ and $tag$text$tag$
	Escapes      bool   // E'it\'s'
	Nested       bool   // comments within comments
	Brackets     bool   // [name] and `name`
	Foreign      string // characters that begin a parameter of the database's own, which is refused
}

// A Statement is SQL with its parameters found.
type Statement struct {
	Text  string
	Names []string // of the parameters, each once, in the order of their first use
	Verb  string   // the first word, in lower case
	More  bool     // something follows the first semicolon
	uses  []use
}

// A use is one place where a parameter stands.
type use struct {
	from, to int // in Text, the colon included
	name     int // in Names
}

// ParseStatement finds :name wherever it is not text, a quoted name or a comment. A colon behind a colon, a letter, a digit or
// an underscore begins no parameter: casts (x::int) and slices (a[1:n]) are left alone. What is not closed runs to the end: the
// database will say so better.
func ParseStatement(text string, d Dialect) (*Statement, error) {
	s := &scanner{text: text, d: d, found: &Statement{Text: text}}
	for s.at < len(text) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	return s.found, nil
}

// Bind puts what mark writes in the place of each parameter. Params must be just those that the statement names.
func (s *Statement) Bind(params map[string]any, mark func(name int) string) (*Bound, error) {
	if err := s.match(params); err != nil {
		return nil, err
	}
	b := &Bound{statement: s}
	var out strings.Builder
	at := 0
	for _, u := range s.uses {
		out.WriteString(s.Text[at:u.from])
		b.marks = append(b.marks, span{out.Len(), u})
		out.WriteString(mark(u.name))
		at = u.to
	}
	out.WriteString(s.Text[at:])
	b.Text = out.String()
	return b, nil
}

func (s *Statement) match(params map[string]any) error {
	var missing, unknown []string
	for _, name := range s.Names {
		if _, ok := params[name]; !ok {
			missing = append(missing, ":"+name)
		}
	}
	for name, value := range params {
		if !slices.Contains(s.Names, name) {
			unknown = append(unknown, name)
		} else if err := Valid(value); err != nil {
			return Errorf(BadParameters, "parameter %s: %v", name, err)
		}
	}
	if len(missing)+len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	var said []string
	if len(missing) > 0 {
		said = append(said, "the SQL has "+strings.Join(missing, ", ")+", which params do not")
	}
	if len(unknown) > 0 {
		said = append(said, "params have "+strings.Join(unknown, ", ")+", which the SQL does not")
	}
	names := "none"
	if len(s.Names) > 0 {
		names = ":" + strings.Join(s.Names, ", :")
	}
	return Errorf(BadParameters, "%s. Parameters of the SQL: %s", strings.Join(said, "; "), names)
}

// A Bound is a statement as the database gets it.
type Bound struct {
	Text      string
	statement *Statement
	marks     []span
}

type span struct {
	at int // in Bound.Text
	use
}

// Place is the line and column, from 1, in the statement as it was written, of a character (from 1) of Text.
func (b *Bound) Place(character int) (line, column int) {
	at := b.back(byteOf(b.Text, character))
	before := b.statement.Text[:min(at, len(b.statement.Text))]
	line = strings.Count(before, "\n") + 1
	return line, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// back is the place in the written statement of a byte of Text. Within a mark it is where the parameter stands.
func (b *Bound) back(at int) int {
	end, written := 0, 0 // of the last mark before at, in both texts
	for i, m := range b.marks {
		if m.at > at {
			break
		}
		stop := len(b.Text) - (len(b.statement.Text) - m.to)
		if i+1 < len(b.marks) {
			stop = b.marks[i+1].at - (b.marks[i+1].from - m.to)
		}
		if at < stop {
			return m.from
		}
		end, written = stop, m.to
	}
	return written + at - end
}

func byteOf(text string, character int) int {
	n := 0
	for i := range text {
		if n++; n == character {
			return i
		}
	}
	return len(text)
}

// A scanner walks over a statement.
type scanner struct {
	text  string
	d     Dialect
	at    int
	ended bool // a semicolon was passed
	found *Statement
}

func (s *scanner) rest() string { return s.text[s.at:] }

// step passes over one thing: a quoted one, a comment, a parameter, or a character.
func (s *scanner) step() error {
	rest := s.rest()
	switch c := rest[0]; {
	case c == '\'':
		s.quoted('\'', s.d.Escapes && s.escaped())
	case c == '"', c == '`' && s.d.Brackets:
		s.quoted(c, false)
	case c == '[' && s.d.Brackets:
		s.past("]", 1)
	case strings.HasPrefix(rest, "--"):
		s.past("\n", 2)
	case strings.HasPrefix(rest, "/*"):
		s.comment()
	case c == '$' && s.d.DollarQuotes && !s.inWord() && dollarTag(rest) != "":
		tag := dollarTag(rest)
		s.past(tag, len(tag))
	case c == ':' && !s.inWord() && wordLength(rest[1:]) > 0:
		s.parameter(1 + wordLength(rest[1:]))
	case c == ':' && strings.HasPrefix(rest, "::"):
		s.at += 2
	case strings.IndexByte(s.d.Foreign, c) >= 0 && s.foreign(rest):
		return s.refuse(rest)
	default:
		s.plain(c)
	}
	return nil
}

// plain passes over a character of SQL, or over the first word.
func (s *scanner) plain(c byte) {
	switch {
	case c == ';':
		s.ended = true
	case strings.IndexByte(" \t\r\n\f", c) >= 0:
	case s.ended:
		s.found.More = true
	case s.found.Verb == "" && wordLength(s.rest()) > 0:
		n := wordLength(s.rest())
		s.found.Verb = strings.ToLower(s.rest()[:n])
		s.at += n - 1
	}
	s.at++
}

// inWord says whether a word or a colon ends right before here.
func (s *scanner) inWord() bool {
	return s.at > 0 && (isWord(s.text[s.at-1]) || s.text[s.at-1] == ':')
}

// escaped says whether the quote here is that of E'...'.
func (s *scanner) escaped() bool {
	return s.at > 0 && (s.text[s.at-1] == 'E' || s.text[s.at-1] == 'e') && (s.at == 1 || !isWord(s.text[s.at-2]))
}

// quoted passes over text in quotes, in which two quotes stand for one.
func (s *scanner) quoted(quote byte, backslash bool) {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\\' && backslash:
			s.at++
		case c == quote && strings.HasPrefix(s.text[s.at+1:], string(quote)):
			s.at++
		case c == quote:
			s.at++
			return
		}
	}
	s.at = len(s.text)
}

// past goes behind the next end, which is looked for from skip on.
func (s *scanner) past(end string, skip int) {
	if i := strings.Index(s.rest()[skip:], end); i >= 0 {
		s.at += skip + i + len(end)
		return
	}
	s.at = len(s.text)
}

func (s *scanner) comment() {
	depth := 0
	for s.at < len(s.text) {
		switch rest := s.rest(); {
		case strings.HasPrefix(rest, "/*") && (depth == 0 || s.d.Nested):
			depth++
			s.at += 2
		case strings.HasPrefix(rest, "*/"):
			s.at += 2
			if depth--; depth == 0 {
				return
			}
		default:
			s.at++
		}
	}
}

func (s *scanner) parameter(length int) {
	name := s.text[s.at+1 : s.at+length]
	i := slices.Index(s.found.Names, name)
	if i < 0 {
		i = len(s.found.Names)
		s.found.Names = append(s.found.Names, name)
	}
	s.found.uses = append(s.found.uses, use{s.at, s.at + length, i})
	s.at += length
}

// foreign says whether a parameter of the database's own stands here.
func (s *scanner) foreign(rest string) bool {
	if s.inWord() {
		return false
	}
	if rest[0] == '?' {
		return true
	}
	return len(rest) > 1 && isWord(rest[1])
}

func (s *scanner) refuse(rest string) error {
	end := 1
	for end < len(rest) && isWord(rest[end]) {
		end++
	}
	return Errorf(BadParameters, "%s is no parameter here: write :name in the SQL and name its value in params", rest[:end])
}

// dollarTag is $tag$ or $$ at the start of text, "" when there is none.
func dollarTag(text string) string {
	end := 1
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == len(text) || text[end] != '$' || end > 1 && text[1] >= '0' && text[1] <= '9' {
		return ""
	}
	return text[:end+1]
}

// wordLength is the length of the name at the start of text: letters, digits and underscores, no digit first.
func wordLength(text string) (n int) {
	if text == "" || text[0] >= '0' && text[0] <= '9' {
		return 0
	}
	for n < len(text) && isWord(text[n]) {
		n++
	}
	return n
}

// isWord: every byte of a character beyond ASCII is a letter, as databases have it.
func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}
