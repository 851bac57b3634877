package messaging

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parse begins to read a connection's settings. Each method names one setting and its default; Done then reports all
// problems at once, the names that nobody asked for included.
func (o Options) Parse() *Settings {
	scheme, _, _ := strings.Cut(o.URL, ":")
	return &Settings{connection: o.Name, given: o.Settings, others: declared[scheme]}
}

// declared are the settings that the seams of a scheme read, where it serves several.
var declared = map[string][]string{}

// Declare names settings that one seam of a scheme reads, so that the others leave them be: one connection of program.yaml
// may carry events and answer queries. It is called from init functions.
func Declare(scheme string, settings ...string) {
	declared[scheme] = append(declared[scheme], settings...)
}

// Settings reads a connection's settings.
type Settings struct {
	connection string
	given      map[string]string
	others     []string // that other seams of the scheme read
	known      []string
	problems   []string
}

// String is a setting as it stands.
func (s *Settings) String(name, byDefault string) string {
	s.known = append(s.known, name)
	if v, ok := s.given[name]; ok {
		return v
	}
	return byDefault
}

// Choice is a setting with a few legal values, of which the first is the default.
func (s *Settings) Choice(name string, allowed ...string) string {
	v := s.String(name, allowed[0])
	if !slices.Contains(allowed, v) {
		s.problem(name, v, strings.Join(allowed, ", "))
		return allowed[0]
	}
	return v
}

// Bool is true or false.
func (s *Settings) Bool(name string, byDefault bool) bool {
	v := s.String(name, strconv.FormatBool(byDefault))
	if v == "" { // ?discard stands for discard=true
		return true
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		s.problem(name, v, "true or false")
	}
	return b
}

// Int is a whole number, at least least.
func (s *Settings) Int(name string, byDefault, least int64) int64 {
	v := s.String(name, strconv.FormatInt(byDefault, 10))
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least {
		s.problem(name, v, fmt.Sprintf("a whole number from %d on", least))
		return byDefault
	}
	return n
}

// Bytes is a size such as 64KiB, 1MiB, 2GB or 4096.
func (s *Settings) Bytes(name string, byDefault, least int64) int64 {
	v := s.String(name, strconv.FormatInt(byDefault, 10))
	n, err := ParseBytes(v)
	if err != nil || n < least {
		s.problem(name, v, fmt.Sprintf("a size of at least %d bytes, such as 64KiB or 1GiB", least))
		return byDefault
	}
	return n
}

// Duration is a time such as 500ms, 2m or 168h, at least least.
func (s *Settings) Duration(name string, byDefault, least time.Duration) time.Duration {
	v := s.String(name, byDefault.String())
	d, err := time.ParseDuration(v)
	if err != nil || d < least {
		s.problem(name, v, fmt.Sprintf("a duration of at least %s, such as 500ms or 2m", least))
		return byDefault
	}
	return d
}

// Done returns the problems found, or nil.
func (s *Settings) Done() error {
	for name := range s.given {
		if !slices.Contains(s.known, name) && !slices.Contains(s.others, name) {
			slices.Sort(s.known)
			s.problems = append(s.problems, fmt.Sprintf("connection %s: no setting %q. Known: %s",
				s.connection, name, strings.Join(s.known, ", ")))
		}
	}
	if len(s.problems) == 0 {
		return nil
	}
	slices.Sort(s.problems)
	return fmt.Errorf("%s", strings.Join(s.problems, "\n"))
}

func (s *Settings) problem(name, got, expected string) {
	s.problems = append(s.problems, fmt.Sprintf("connection %s: %s is %q, expected %s", s.connection, name, got, expected))
}

var units = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseBytes reads a size: a whole number and, if any, a unit.
func ParseBytes(text string) (int64, error) {
	number, factor := strings.TrimSpace(text), int64(1)
	for _, u := range units {
		if head, ok := strings.CutSuffix(number, u.suffix); ok {
			number, factor = strings.TrimSpace(head), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is not a size", text)
	}
	return n * factor, nil
}
