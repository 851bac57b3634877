package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
)

// together is how many keys one statement names.
const together = 256

// Get reads a batch in one transaction: all of it as it was at one moment.
func (s *store) Get(ctx context.Context, keys []string) ([][]byte, error) {
	tx, err := s.reading.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, s.explain("get", err)
	}
	defer tx.Rollback()
	known := make(map[string][]byte, len(keys))
	for page := range slices.Chunk(keys, together) {
		if err := s.read(ctx, tx, page, known); err != nil {
			return nil, s.explain("get", err)
		}
	}
	found := make([][]byte, len(keys))
	for i, key := range keys {
		found[i] = known[key]
	}
	return found, nil
}

func (s *store) read(ctx context.Context, tx *sql.Tx, keys []string, into map[string][]byte) error {
	args := append(blobs(keys), s.clock().UnixMilli())
	rows, err := tx.QueryContext(ctx, "SELECT key, value FROM "+s.table+" WHERE key IN ("+marks(len(keys))+
		") AND (expires_at IS NULL OR expires_at > ?)", args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key, value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		if value == nil {
			value = []byte{}
		}
		into[string(key)] = value
	}
	return rows.Err()
}

func (s *store) Put(ctx context.Context, entries []kv.Entry) error {
	now := s.clock()
	return s.explain("put", s.write(ctx, func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, "INSERT INTO "+s.table+" (key, value, expires_at) VALUES (?, ?, ?) "+
			"ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at")
		if err != nil {
			return err
		}
		defer put.Close()
		for _, e := range entries {
			if _, err := put.ExecContext(ctx, []byte(e.Key), blob(e.Value), expiry(e.TTL, now)); err != nil {
				return err
			}
		}
		return s.sweep(ctx, tx, now)
	}))
}

func expiry(ttl time.Duration, now time.Time) any {
	if ttl == 0 {
		return nil
	}
	return now.Add(ttl).UnixMilli()
}

func (s *store) Delete(ctx context.Context, keys []string) error {
	return s.explain("delete", s.write(ctx, func(tx *sql.Tx) error {
		for page := range slices.Chunk(keys, together) {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+s.table+" WHERE key IN ("+marks(len(page))+")", blobs(page)...); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (s *store) write(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.writing.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// One sweep removes so many rows that have expired, and sweeps come no faster than that: no put pays for all.
const (
	sweepRows  = 500
	sweepEvery = time.Second
)

func (s *store) sweep(ctx context.Context, tx *sql.Tx, now time.Time) error {
	s.mu.Lock()
	due := now.Sub(s.swept) >= sweepEvery
	if due {
		s.swept = now
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM "+s.table+" WHERE key IN (SELECT key FROM "+s.table+
		" WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?)", now.UnixMilli(), sweepRows)
	return err
}

func marks(n int) string { return strings.Repeat("?,", n-1) + "?" }

func blobs(keys []string) []any {
	args := make([]any, len(keys), len(keys)+1)
	for i, key := range keys {
		args[i] = []byte(key)
	}
	return args
}

// blob is never nil, which would be stored as NULL.
func blob(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}
