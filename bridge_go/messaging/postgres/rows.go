package postgres

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A part is rows of one table that one statement can write, in the order of their records.
type part struct {
	t     *table
	index []int // of the record that each row was
	sql   string
	json  [][]byte // of a table of columns: objects
	raw   *rawRows // of a table in the raw layout
}

func (p *part) len() int { return len(p.index) }

// statement writes rows from to to.
func (p *part) statement(from, to int) (string, []any) {
	if p.raw != nil {
		return p.sql, p.raw.arguments(from, to)
	}
	return p.sql, []any{p.json[from:to]}
}

// parts makes rows of the records of one write. Base is added to their indices.
func (s *sink) parts(t *table, records []messaging.Outgoing, base int, refuse func(int, error)) []*part {
	if t.raw {
		return s.rawParts(t, records, base, refuse)
	}
	return s.columnParts(t, records, base, refuse)
}

func (s *sink) tooLarge(r *messaging.Outgoing) error {
	if len(r.Value) > s.c.settings.maxValue {
		return fmt.Errorf("value of %d bytes is over the limit of %d (max_value)", len(r.Value), s.c.settings.maxValue)
	}
	return nil
}

// rawRows are records as columns.
type rawRows struct {
	keys, values [][]byte
	headers, ids []*string
	times        []*time.Time
}

func (r *rawRows) arguments(from, to int) []any {
	return []any{r.times[from:to], r.keys[from:to], r.values[from:to], r.headers[from:to], r.ids[from:to]}
}

func (s *sink) rawParts(t *table, records []messaging.Outgoing, base int, refuse func(int, error)) []*part {
	p := &part{t: t, raw: &rawRows{}, sql: "insert into " + t.sql() + ` (time, key, value, headers, message_id)
		select coalesce(time, clock_timestamp()), key, value, headers::jsonb, message_id
		from unnest($1::timestamptz[], $2::bytea[], $3::bytea[], $4::text[], $5::text[])
		  with ordinality as r (time, key, value, headers, message_id, at) order by at
		on conflict (message_id) do nothing`}
	for i := range records {
		if err := s.tooLarge(&records[i]); err != nil {
			refuse(base+i, err)
			continue
		}
		if err := p.raw.add(&records[i]); err != nil {
			refuse(base+i, err)
			continue
		}
		p.index = append(p.index, base+i)
	}
	return some(p)
}

// some leaves out a part without rows.
func some(parts ...*part) []*part {
	return slices.DeleteFunc(parts, func(p *part) bool { return p.len() == 0 })
}

func (r *rawRows) add(o *messaging.Outgoing) error {
	var headers, id *string
	if len(o.Headers) > 0 {
		written, err := writeHeaders(o.Headers)
		if err != nil {
			return err
		}
		headers = &written
	}
	if o.ID != "" {
		id = &o.ID
	}
	var when *time.Time
	if o.Time != 0 {
		t := time.Unix(0, o.Time).UTC()
		when = &t
	}
	r.keys, r.values = append(r.keys, o.Key), append(r.values, o.Value)
	r.headers, r.ids, r.times = append(r.headers, headers), append(r.ids, id), append(r.times, when)
	return nil
}

// columnParts gathers objects with the same fields, because a statement names its columns: a column that it does not name gets its
// default. Where later rows replace earlier ones only neighbours are gathered, to keep their order.
func (s *sink) columnParts(t *table, records []messaging.Outgoing, base int, refuse func(int, error)) []*part {
	var parts []*part
	open := map[string]*part{}
	for i := range records {
		object, fields, err := s.object(t, &records[i])
		if err != nil {
			refuse(base+i, err)
			continue
		}
		shape := strings.Join(fields, "\x00")
		p := open[shape]
		if p == nil {
			if s.c.settings.upsert {
				clear(open)
			}
			p = &part{t: t, sql: s.c.settings.insert(t, fields)}
			open[shape] = p
			parts = append(parts, p)
		}
		p.index, p.json = append(p.index, base+i), append(p.json, object)
	}
	return parts
}

// object checks that a value is one JSON object whose fields are columns, and returns it with what the settings add.
func (s *sink) object(t *table, r *messaging.Outgoing) (object []byte, fields []string, err error) {
	if err := s.tooLarge(r); err != nil {
		return nil, nil, err
	}
	if r.Value == nil {
		return nil, nil, fmt.Errorf("table %s: a null value is no row", t.topic)
	}
	var found map[string]json.RawMessage
	if err := json.Unmarshal(r.Value, &found); err != nil || found == nil {
		return nil, nil, fmt.Errorf("table %s: a row is a JSON object, this is not: %.60q", t.topic, r.Value)
	}
	added, err := s.c.settings.place(t, found, r.ID)
	if err != nil {
		return nil, nil, err
	}
	fields = slices.Sorted(maps.Keys(found))
	if !added {
		return r.Value, fields, nil
	}
	object, err = json.Marshal(found)
	return object, fields, err
}

// place moves fields that have no column to the column for the rest, and adds the record's ID. Added says that something changed.
func (c settings) place(t *table, fields map[string]json.RawMessage, id string) (added bool, err error) {
	rest := map[string]json.RawMessage{}
	for name, value := range fields {
		switch col := t.column(name); {
		case col == nil:
			rest[name] = value
		case col.generated:
			return false, fmt.Errorf("table %s: column %s is generated and cannot be written", t.topic, name)
		case name == c.rest || name == c.idColumn:
			return false, fmt.Errorf("table %s: column %s is filled by the connection's settings, and a record has a field of that name", t.topic, name)
		}
	}
	for _, name := range c.key {
		if _, ok := fields[name]; c.upsert && !ok {
			return false, fmt.Errorf("table %s: the record has no field %s, which is part of the key", t.topic, name)
		}
	}
	if len(rest) > 0 && c.rest == "" {
		return false, fmt.Errorf("table %s has no column for %s. It has: %s. Add columns, or set rest= to a json column that takes them",
			t.topic, strings.Join(slices.Sorted(maps.Keys(rest)), ", "), strings.Join(t.names(), ", "))
	}
	if len(rest) > 0 {
		for name := range rest {
			delete(fields, name)
		}
		if fields[c.rest], err = json.Marshal(rest); err != nil {
			return false, err
		}
	}
	if c.idColumn != "" && id != "" {
		fields[c.idColumn], _ = json.Marshal(id)
	}
	return len(rest) > 0 || c.idColumn != "" && id != "", nil
}

// insert is the statement for objects with these fields. $1 is a list of them: each is parsed by itself, so that none can become two. (As fast as
// one JSON array of all of them, and as COPY into a table aside and INSERT from there.)
func (c settings) insert(t *table, fields []string) string {
	into := "insert into " + t.sql()
	if len(fields) == 0 {
		return into + " select from unnest($1::text[])"
	}
	into += " (" + strings.Join(quoteAll(fields), ", ") + ") select "
	from := " from unnest($1::text[]) with ordinality as o (object, place), lateral json_to_record(o.object::json) as r (" + typed(t, fields) + ")"
	columns := qualified(fields)
	switch {
	case c.upsert: // the last of each key, since a statement may write a row once
		key := qualified(c.key)
		return into + "distinct on (" + key + ") " + columns + from + " order by " + key + ", o.place desc on conflict (" +
			strings.Join(quoteAll(c.key), ", ") + ") do " + replace(fields, c.key)
	case c.idColumn != "":
		return into + columns + from + " on conflict (" + quote(c.idColumn) + ") do nothing"
	}
	return into + columns + from
}

func qualified(names []string) string { return "r." + strings.Join(quoteAll(names), ", r.") }

// typed lists fields with the types of their columns.
func typed(t *table, fields []string) string {
	list := make([]string, len(fields))
	for i, name := range fields {
		list[i] = quote(name) + " " + t.column(name).full
	}
	return strings.Join(list, ", ")
}

// replace sets what is not the key.
func replace(fields, key []string) string {
	var set []string
	for _, name := range fields {
		if !slices.Contains(key, name) {
			set = append(set, quote(name)+" = excluded."+quote(name))
		}
	}
	if len(set) == 0 {
		return "nothing"
	}
	return "update set " + strings.Join(set, ", ")
}

// fit refuses settings that the table cannot follow.
func (c settings) fit(t *table) error {
	if t.raw {
		return nil
	}
	if c.upsert && !t.hasUnique(c.key...) {
		return fmt.Errorf("key is %s, and no unique index is on these columns: create unique index on %s (%s)",
			strings.Join(c.key, ","), t.sql(), strings.Join(quoteAll(c.key), ", "))
	}
	if c.rest != "" {
		if col := t.column(c.rest); col == nil || col.kind != "json" && col.kind != "jsonb" {
			return fmt.Errorf("rest is %q, and that is no json or jsonb column of the table. It has: %s", c.rest, strings.Join(t.names(), ", "))
		}
	}
	if c.idColumn != "" {
		if col := t.column(c.idColumn); col == nil || col.kind != "text" || !t.hasUnique(c.idColumn) {
			return fmt.Errorf("id_column is %q: make it a text column with a unique index: alter table %s add %s text unique",
				c.idColumn, t.sql(), quote(c.idColumn))
		}
	}
	return nil
}
