package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// An API is a connection to a server, and how long one answer of it may take.
type API struct {
	Conn     *nats.Conn
	Closed   <-chan struct{} // closed when the connection is closed by its owner
	Patience time.Duration
}

// apiPrefix is where the server listens for requests.
const apiPrefix = "$JS.API."

// An Error is the server's word on a request or a record that it does not take.
type Error struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// Codes of the server that mean something here.
const (
	CodeNoConsumer      = 10014
	CodeNoMessage       = 10037
	CodeNoSequence      = 10043
	CodeMessageTooLarge = 10054
	CodeDeleteRefused   = 10057
	CodeNoStream        = 10059
	CodeOtherStream     = 10060
	CodeHeaderTooLarge  = 10097
	CodeSealed          = 10109
	CodeNoBatches       = 10174
	CodeBatchTooLarge   = 10199
	CodeBatchDuplicate  = 10201
)

// HasCode says whether an error is the server's with one of these codes.
func HasCode(err error, codes ...int) bool {
	var api *Error
	return errors.As(err, &api) && slices.Contains(codes, api.ErrCode)
}

// Call asks the server, for example "STREAM.INFO.a". An answer of nil is not looked at.
func (a *API) Call(ctx context.Context, endpoint string, request []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, a.Patience)
	defer cancel()
	msg, err := a.Conn.RequestWithContext(ctx, apiPrefix+endpoint, request)
	if err != nil {
		return err
	}
	var refused struct {
		Error *Error `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &refused); err != nil {
		return err
	}
	if refused.Error != nil {
		return refused.Error
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(msg.Data, answer)
}
