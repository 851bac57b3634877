package sql

import (
	"fmt"
	"strings"
)

// Codes of errors, as METHODS.md of package calls lists them.
const (
	BadParameters = "bad_parameters" // parameters and SQL do not fit together
	BadSQL        = "bad_sql"        // the database refuses the statement
	BadValue      = "bad_value"      // a value does not fit its column
	Unavailable   = "unavailable"    // the database cannot be reached, or has no room
)

// An Error is one whose cause is known. Reason never holds what is secret.
type Error struct {
	Code   string
	Reason string
	Retry  bool // the same call may succeed later
}

func (e *Error) Error() string { return e.Reason }

// Errorf makes an error that the same call would meet again.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// TooLarge tells of a value that no page can hold.
func TooLarge(connection, column string, bytes int) error {
	return Errorf(BadValue, "connection %s: column %s: a value of %d bytes, at most %d can be read: take a part of it, such as substr(%s, 1, 1000000)",
		connection, column, bytes, MaxValue, column)
}

// Columns finds the place of each column of a page in a table, by name. Databases say which case counts: equal compares.
func Columns(table string, page, have []string, equal func(a, b string) bool) ([]int, error) {
	places := make([]int, len(page))
	var unknown []string
	for i, name := range page {
		places[i] = -1
		for j, other := range have {
			if equal(name, other) {
				places[i] = j
			}
		}
		if places[i] < 0 {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, Errorf(BadValue, "table %s has no column %s. It has: %s",
			table, strings.Join(unknown, ", "), strings.Join(have, ", "))
	}
	return places, nil
}
