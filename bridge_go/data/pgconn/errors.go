package pgconn

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Code is the SQLSTATE of an error, empty when the server did not say one.
func Code(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}

// RefusesData says that a statement failed by the values that it was given: it will fail with them for ever, and without the
// one that is to blame it may succeed. Classes and codes are those of the manual's appendix A.
func RefusesData(err error) bool {
	code := Code(err)
	if code == "" {
		return false
	}
	switch code[:2] {
	case "22", "23", "44", "54": // data exception, integrity constraint, check option, program limit
		return true
	}
	switch code {
	case "P0001", "P0004": // raised by a trigger of the user's
		return true
	case "42501": // rights are the operator's to give, but a policy speaks of one row
		return strings.Contains(err.Error(), "row-level security")
	}
	return false
}

// Mistaken says that a statement does not fit the database as it is: a column or a table is gone, or rights are missing.
func Mistaken(err error) bool { return strings.HasPrefix(Code(err), "42") }

// Reason is what the server says of a refused value: message and detail, on one line.
func Reason(err error) string {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return err.Error()
	}
	text := said.Message
	if said.Detail != "" {
		text += ". " + said.Detail
	}
	return strings.ReplaceAll(text, "\n", " ") + " (SQLSTATE " + said.Code + ")"
}
