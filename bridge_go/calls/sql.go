package calls

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// sqlOpen answers [cursor, page, done].
func (h *Handler) sqlOpen(ctx context.Context, r *request) ([]byte, error) {
	con, err := h.connectionOf(r, databases)
	text, params, rows := r.Text("sql"), parameters(r.Arguments), int64(0)
	if r.Optional() {
		rows = r.Number("rows", 1, math.MaxInt32)
	}
	if r.End(); r.Err != nil || err != nil {
		return nil, err
	}
	conn := h.of(ctx)
	db, err := h.c.Data.Database(ctx, con)
	if err != nil {
		return nil, err
	}
	pages, err := db.Query(ctx, text, params, int(min(rows, sql.MaxRows)))
	if err != nil {
		return nil, h.masked(con, err)
	}
	first, done, err := pages.Next(ctx)
	if err != nil || done {
		pages.Close()
		return appendPage(msgp.AppendNil(msgp.AppendArrayHeader(nil, 3)), first, done), h.masked(con, err)
	}
	number, err := h.keep(conn, con, r.lease, pages)
	if err != nil {
		pages.Close()
		return nil, err
	}
	return appendPage(msgp.AppendInt64(msgp.AppendArrayHeader(nil, 3), number), first, done), nil
}

// sqlNext answers [page, done].
func (h *Handler) sqlNext(ctx context.Context, r *request) ([]byte, error) {
	number := r.Number("cursor", 1, math.MaxInt64)
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	conn := h.of(ctx)
	cur, err := conn.cursor(r, number)
	if err != nil {
		return nil, err
	}
	p, open := cur.next(ctx)
	if !open {
		err = unknown("cursor", number)
	} else if p.err != nil {
		err = h.masked(cur.con, p.err)
	}
	if p.done || err != nil {
		conn.closeCursor(number)
	}
	return appendPage(msgp.AppendArrayHeader(nil, 2), p.data, p.done), err
}

func appendPage(b, page []byte, done bool) []byte {
	b = slices.Grow(b, len(page)+16)
	return msgp.AppendBool(msgp.AppendBytes(b, page), done)
}

func (h *Handler) sqlClose(ctx context.Context, r *request) ([]byte, error) {
	number := r.Number("cursor", 1, math.MaxInt64)
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	conn := h.of(ctx)
	if _, err := conn.cursor(r, number); err == nil {
		conn.closeCursor(number)
	}
	return nil, nil
}

// sqlExecute answers the number of rows.
func (h *Handler) sqlExecute(ctx context.Context, r *request) ([]byte, error) {
	con, err := h.connectionOf(r, databases)
	text, params := r.Text("sql"), parameters(r.Arguments)
	if r.End(); r.Err != nil || err != nil {
		return nil, err
	}
	db, err := h.c.Data.Database(ctx, con)
	if err != nil {
		return nil, err
	}
	n, err := db.Execute(ctx, text, params)
	return msgp.AppendInt64(nil, n), h.masked(con, err)
}

// sqlWrite answers the number of rows.
func (h *Handler) sqlWrite(ctx context.Context, r *request) ([]byte, error) {
	con, err := h.connectionOf(r, databases)
	table, mode, page := r.Text("table"), sql.Mode(r.Text("mode")), r.Bytes("page")
	if r.End(); r.Err != nil || err != nil {
		return nil, err
	}
	if !slices.Contains(sql.Modes, mode) {
		return nil, refusef("bad_arguments", "sql.write: mode is %q, expected %s or %s", string(mode), sql.Append, sql.Replace)
	}
	if strings.TrimSpace(table) == "" {
		return nil, refusef("bad_arguments", "sql.write: table is empty")
	}
	db, err := h.c.Data.Database(ctx, con)
	if err != nil {
		return nil, err
	}
	n, err := db.Write(ctx, table, mode, page)
	return msgp.AppendInt64(nil, n), h.masked(con, err)
}
