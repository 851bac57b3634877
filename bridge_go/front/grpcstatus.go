package front

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Statuses of HTTP that have a code of gRPC of their own; others are INTERNAL. A list that is too long stays so: it is not
// RESOURCE_EXHAUSTED, which asks to be tried again.
var grpcCodes = map[int]codes.Code{
	http.StatusBadRequest: codes.InvalidArgument, http.StatusUnprocessableEntity: codes.InvalidArgument,
	http.StatusRequestEntityTooLarge: codes.InvalidArgument, http.StatusNotFound: codes.NotFound,
	http.StatusUnauthorized: codes.Unauthenticated, http.StatusTooManyRequests: codes.ResourceExhausted,
	http.StatusServiceUnavailable: codes.Unavailable, http.StatusGatewayTimeout: codes.DeadlineExceeded,
	problemGone.status: codes.Canceled,
}

// asStatus makes a problem a status of gRPC, with its code as the reason of an ErrorInfo, and a RetryInfo where HTTP says Retry-After.
func asStatus(ctx context.Context, err error) error {
	var p *problem
	if !errors.As(err, &p) {
		return err
	}
	if p == problemGone && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p = problemTimeout
	}
	code, known := grpcCodes[p.status]
	if !known {
		code = codes.Internal
	}
	s := status.New(code, p.text)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: p.code, Domain: serverName}}
	if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
		delay := time.Second + rand.N(2*time.Second)
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	}
	if detailed, err := s.WithDetails(details...); err == nil {
		s = detailed
	}
	return s.Err()
}

// statusOfError is what a call counts as.
func statusOfError(err error) int {
	var p *problem
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &p):
		return p.status
	}
	return http.StatusInternalServerError
}
