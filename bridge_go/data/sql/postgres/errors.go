package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// told makes what a caller is told of what the driver says. A statement that was cancelled because its context has ended is
// the context's error.
func (d *database) told(ctx context.Context, err error, call *sql.Bound) error {
	var known *sql.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("connection %s: the statement was cancelled: %w", d.name, context.Cause(ctx))
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return &sql.Error{Code: code(server.Code), Retry: passing(server.Code), Reason: "connection " + d.name + ": " + said(server, call)}
	}
	return &sql.Error{Code: sql.Unavailable, Retry: true, Reason: fmt.Sprintf("connection %s: %v", d.name, err)}
}

// said is the server's message with all that helps to find its cause.
func said(e *pgconn.PgError, call *sql.Bound) string {
	var b strings.Builder
	b.WriteString(e.Message)
	if call != nil && e.Position > 0 {
		line, column := call.Place(int(e.Position))
		fmt.Fprintf(&b, " (line %d, column %d)", line, column)
	}
	for _, more := range []string{e.Detail, e.Hint} {
		if more != "" {
			b.WriteString(". " + strings.TrimSuffix(more, "."))
		}
	}
	if strings.HasPrefix(e.Where, "COPY ") {
		b.WriteString(" (" + e.Where + ")")
	}
	if e.Code == readOnly {
		b.WriteString(". Queries only read: statements that write are executed")
	}
	fmt.Fprintf(&b, " [%s]", e.Code)
	return b.String()
}

const readOnly = "25006"

// code is ours for an SQLSTATE.
func code(state string) string {
	switch {
	case passing(state), strings.HasPrefix(state, "28"), strings.HasPrefix(state, "3D"), strings.HasPrefix(state, "57P"):
		return sql.Unavailable
	case strings.HasPrefix(state, "22"), strings.HasPrefix(state, "23"):
		return sql.BadValue
	}
	return sql.BadSQL
}

// passing says whether an SQLSTATE is about the moment: connections, locks, conflicts, room, a server that starts or stops.
func passing(state string) bool {
	for _, class := range []string{"08", "40", "53", "55P03", "57P01", "57P02", "57P03", "57014"} {
		if strings.HasPrefix(state, class) {
			return true
		}
	}
	return false
}
