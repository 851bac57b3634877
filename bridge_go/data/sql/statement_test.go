package sql

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

var everything = Dialect{DollarQuotes: true, Escapes: true, Nested: true, Foreign: "$"}

func TestParametersAreFoundOnlyWhereTheyAre(t *testing.T) {
	brackets := Dialect{Brackets: true, Foreign: "?@$"}
	for _, c := range []struct {
		d     Dialect
		text  string
		names string
	}{
		{everything, "select :a, :b_1, :a, :Über", "a b_1 Über"},
		{everything, ":a", "a"},
		{everything, "select (:a)", "a"},
		{everything, "select x::int, '1'::text, :a::date", "a"},
		{everything, "select a[1:n], a[i:n]", ""},
		{everything, "select ':a', 'it''s :a', '\\', :b", "b"},
		{everything, `select E'it\'s :a', :b`, "b"},
		{everything, `select e'\\', :b, 'x\', :c`, "b c"},
		{everything, `select ":a", "say "":b""", :c`, "c"},
		{everything, "select 1 -- :a ' \n, :b", "b"},
		{everything, "select /* :a /* :b */ :c */ :d", "d"},
		{Dialect{}, "select /* :a /* :b */ :c", "c"},
		{everything, "select $$:a$$, $tag$ :b $$ $tag$, :c", "c"},
		{everything, "select a$b$, :c, d$b$", "c"},
		{everything, "select ': a', :1, : b", ""},
		{everything, "select 'open :a", ""},
		{everything, "select $t$open :a", ""},
		{everything, "select /* open :a", ""},
		{everything, "select a ? 'b' and :c", "c"},
		{everything, "x := 3", ""},
		{brackets, "select [:a], `:b`, :c", "c"},
		{everything, "select [1, :a][1]", "a"},
		{everything, "", ""},
	} {
		s, err := ParseStatement(c.text, c.d)
		if err != nil || strings.Join(s.Names, " ") != c.names {
			t.Errorf("%s: %v, %v", c.text, s, err)
		}
	}
}

func TestParametersOfTheDatabasesOwnAreRefused(t *testing.T) {
	for _, c := range []struct {
		foreign, text string
		fails         bool
	}{
		{"$", "select $1", true}, {"$", "select '$1'", false}, {"$", "select a$1", false}, {"$", "select $$1$$", false},
		{"?@$", "select ?", true}, {"?@$", "select ?1", true}, {"?@$", "select @a", true}, {"?@$", "select $a", true}, {"?@$", "select '?'", false},
	} {
		_, err := ParseStatement(c.text, Dialect{DollarQuotes: c.foreign == "$", Foreign: c.foreign})
		var told *Error
		if c.fails != errors.As(err, &told) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestTheFirstWordAndWhatFollowsASemicolonAreTold(t *testing.T) {
	for _, c := range []struct {
		text, verb string
		more       bool
	}{
		{"Select 1", "select", false}, {" -- x\n/* y */ WITH x", "with", false}, {"(select 1)", "select", false}, {"select ';' ; -- x\n ", "select", false},
		{"select 1; drop", "select", true}, {"select 1;;", "select", false}, {"", "", false}, {"1", "", false},
	} {
		s, err := ParseStatement(c.text, everything)
		if err != nil || s.Verb != c.verb || s.More != c.more {
			t.Errorf("%q: %+v %v", c.text, s, err)
		}
	}
}

func TestAPlaceInWhatTheDatabaseGotIsFoundInWhatWasWritten(t *testing.T) {
	text := "sélect :a::int,\n :long_name + 1,\n  :a"
	s, err := ParseStatement(text, everything)
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{"$1", "x", "$1234567890123456"} {
		b, err := s.Bind(map[string]any{"a": nil, "long_name": nil}, func(int) string { return mark })
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"sél", "::", "int", "+", "1,", mark + ",", mark + "::", "  " + mark} {
			if strings.Count(b.Text, word) != 1 {
				continue
			}
			line, column := b.Place(len([]rune(b.Text[:strings.Index(b.Text, word)])) + 1)
			rows := strings.Split(text, "\n")
			at := []rune(rows[line-1])[column-1:]
			want, _, _ := strings.Cut(word, mark)
			if !strings.HasPrefix(string(at), want) || strings.HasPrefix(word, mark) && at[0] != ':' {
				t.Errorf("%s of %q: line %d, column %d: %q", word, b.Text, line, column, string(at))
			}
		}
		if line, column := b.Place(1 << 20); line != 3 || column != 5 {
			t.Errorf("behind the end: line %d, column %d", line, column)
		}
	}
}

func TestNamesOfTablesAreTakenApart(t *testing.T) {
	for name, want := range map[string][]string{
		"a": {"a"}, "a.b": {"a", "b"}, `"A b"."c"".d"`: {"A b", `c".d`}, `a."b"`: {"a", "b"},
	} {
		if got, err := TableName(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	for _, name := range []string{"", ".", "a.", ".a", `"`, `"a`, `"a"b`, `a"b"`, "a\x00", `""`} {
		if got, err := TableName(name); err == nil {
			t.Errorf("%q: %q", name, got)
		}
	}
}

// Whatever stands in a statement: what is not a parameter comes out as it went in.
func FuzzParseStatement(f *testing.F) {
	for _, text := range []string{"select :a, ':b' -- :c", "$q$:a$q$ :b", "E'\\':a' :b", `":a" [:b] /* :c`, ":a:b::c :d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []Dialect{everything, {Brackets: true, Foreign: "?@$"}, {}} {
			s, err := ParseStatement(text, d)
			if err != nil {
				continue
			}
			params := map[string]any{}
			for _, name := range s.Names {
				params[name] = nil
			}
			b, err := s.Bind(params, func(i int) string { return ":" + s.Names[i] })
			if err != nil || b.Text != text {
				t.Errorf("%q became %q, %v", text, b.Text, err)
			}
			b.Place(len(text) / 2)
		}
	})
}
