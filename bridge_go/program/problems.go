package program

import (
	"fmt"
	"sort"
	"strings"
)

// A Place is a file with line and column, both from 1; line 0 is a place outside files, such as "--param trees".
type Place struct {
	File      string
	Line, Col int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// A Problem is one mistake: a stable code for programs, and for people a place, the path and a sentence.
type Problem struct {
	Place            Place
	Path, Code, Text string
}

func (p Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("%s %s", p.Place, p.Text)
	}
	return fmt.Sprintf("%s %s: %s", p.Place, p.Path, p.Text)
}

// An Error is a program.yaml with mistakes, all of them, in the order of the files. It is the user's to mend.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects mistakes, so that all of them are told at once.
type problems struct {
	found []Problem
	files []string
	seen  map[Problem]bool
}

func (p *problems) add(at Place, path, code, text string) {
	problem := Problem{at, path, code, text}
	if p.seen[problem] {
		return
	}
	if p.seen == nil {
		p.seen = map[Problem]bool{}
	}
	p.seen[problem] = true
	p.found = append(p.found, problem)
}

func (p *problems) addf(at Place, path, code, format string, args ...any) {
	p.add(at, path, code, fmt.Sprintf(format, args...))
}

// err is all problems by file (base, overlay, command line), line, column, path and code; nil if there are none.
func (p *problems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	rank := map[string]int{}
	for i, name := range p.files {
		if _, known := rank[name]; !known {
			rank[name] = i
		}
	}
	rankOf := func(name string) int {
		if r, known := rank[name]; known {
			return r
		}
		return len(p.files)
	}
	sort.SliceStable(p.found, func(i, j int) bool {
		a, b := p.found[i], p.found[j]
		for _, c := range []int{
			rankOf(a.Place.File) - rankOf(b.Place.File), a.Place.Line - b.Place.Line, a.Place.Col - b.Place.Col,
			strings.Compare(a.Path, b.Path), strings.Compare(a.Code, b.Code),
		} {
			if c != 0 {
				return c < 0
			}
		}
		return false
	})
	return &Error{p.found}
}
