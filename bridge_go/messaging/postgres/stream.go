package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A stream is one replication connection, used by one goroutine.
type stream struct {
	conn      *pgconn.PgConn
	relations map[uint32]*relation
}

// escape makes the inside of an SQL string.
func escape(text string) string { return strings.ReplaceAll(text, "'", "''") }

// start sends the command that turns the connection into a stream.
func (s *stream) start(ctx context.Context, command string) error {
	s.conn.Frontend().Send(&pgproto3.Query{String: command})
	if err := s.conn.Frontend().Flush(); err != nil {
		return err
	}
	for {
		message, err := s.conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.CopyBothResponse:
			return nil
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		}
	}
}

// What a stream brings.
type (
	walData   struct{ body []byte } // valid until the next receive
	keepalive struct {
		sent  lsn
		reply bool
	}
	nothing struct{} // until the deadline
)

// receive waits for one message up to a moment.
func (s *stream) receive(until time.Time) (any, error) {
	if err := s.conn.Conn().SetReadDeadline(until); err != nil {
		return nil, err
	}
	message, err := s.conn.ReceiveMessage(context.Background())
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nothing{}, nil
	}
	if err != nil {
		return nil, err
	}
	switch m := message.(type) {
	case *pgproto3.ErrorResponse:
		return nil, pgconn.ErrorResponseToPgError(m)
	case *pgproto3.CopyDone, *pgproto3.CommandComplete, *pgproto3.ReadyForQuery:
		return nil, errors.New("the server has ended the replication stream")
	case *pgproto3.CopyData:
		return parseCopy(m.Data)
	}
	return nothing{}, nil // notices and parameters
}

func parseCopy(data []byte) (any, error) {
	b := &buffer{data: data}
	switch kind := b.byte(); kind {
	case 'w':
		b.take(24) // where it begins and ends in the log, and the server's clock
		return walData{b.data}, b.err
	case 'k':
		k := keepalive{sent: lsn(b.uint64())}
		b.uint64()
		k.reply = b.byte() == 1
		return k, b.err
	default:
		return nil, fmt.Errorf("replication: message of kind %q", kind)
	}
}

// confirm tells the server that its log up to a place is needed no more, and that this reader is alive.
func (s *stream) confirm(at lsn, within time.Duration) error {
	out := binary.BigEndian.AppendUint64([]byte{'r'}, uint64(at))
	out = binary.BigEndian.AppendUint64(out, uint64(at))
	out = binary.BigEndian.AppendUint64(out, uint64(at))
	out = binary.BigEndian.AppendUint64(out, uint64(time.Now().UnixMicro()-epoch*1_000_000))
	if err := s.conn.Conn().SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	s.conn.Frontend().Send(&pgproto3.CopyData{Data: append(out, 0)})
	return s.conn.Frontend().Flush()
}

// goodbye ends the stream and waits until the server has read all that was sent to it, let go of the slot and hung up. Whoever hangs up
// himself, with changes in the socket that he has not read, resets the connection, and what he confirmed last may not be heard.
func (s *stream) goodbye(within time.Duration) error {
	if err := s.conn.Conn().SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	s.conn.Frontend().Send(&pgproto3.Terminate{})
	if err := s.conn.Frontend().Flush(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, s.conn.Conn())
	return err
}
