package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

func (b *bucket) mistake(err error) error {
	return &objects.Error{Code: "bad_value", Reason: fmt.Sprintf("connection %s: %v", b.name, err), Err: err}
}

// failed says whose fault an error is, and what to do about it.
func (b *bucket) failed(what, key string, err error) error {
	answer := minio.ToErrorResponse(err)
	where := fmt.Sprintf("connection %s: %s %s", b.name, what, strings.TrimSpace(b.bucket+" "+key))
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", where, err)
	}
	if answer.Code == minio.NoSuchKey {
		return fmt.Errorf("%s: %w", where, objects.ErrNotFound)
	}
	if answer.Code == minio.PreconditionFailed {
		return &objects.Error{Code: "exists", Reason: where + ": there is an object of this key already", Err: err}
	}
	if advice, ours := b.advice(answer.Code); ours {
		return &objects.Error{Code: "refused", Reason: fmt.Sprintf("%s: %s. %s", where, said(err, answer), advice), Err: err}
	}
	reason := where + ": " + said(err, answer)
	if hint := b.hint(err); hint != "" {
		reason += ". " + hint
	}
	return &objects.Error{Code: "unavailable", Reason: reason, Err: err}
}

// said is the service's own words, or the network's.
func said(err error, answer minio.ErrorResponse) string {
	var request *url.Error
	switch {
	case answer.Code != "" && answer.Message != "":
		return strings.TrimSuffix(answer.Message, ".") + " (" + answer.Code + ")"
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return strings.TrimSuffix(err.Error(), ".")
}

// advice is what an operator can do about an answer that will not change by itself.
func (b *bucket) advice(code string) (string, bool) {
	switch code {
	case minio.NoSuchBucket:
		return fmt.Sprintf("There is no bucket %s at %s: make it, or correct the URL", b.bucket, b.endpoint), true
	case minio.AccessDenied, "AllAccessDisabled", "AccountProblem":
		return "Correct access_key and secret_key, or give them the rights to list the bucket and to get, put and delete its objects", true
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidTokenId", "XAdminUserNotFound":
		return "Correct access_key, secret_key or session_token", true
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "InvalidRegion", "IllegalLocationConstraintException":
		return fmt.Sprintf("The region is %s by the connection's settings: set region to that of the bucket", b.region), true
	case "RequestTimeTooSkewed":
		return "Set this machine's clock", true
	case "EntityTooLarge", "EntityTooSmall", "InvalidPart":
		return "Set part_size to what the service takes", true
	}
	return "", false
}

// hint says what an error of the network may come from.
func (b *bucket) hint(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "The service speaks http: set insecure: true, or use one that speaks https"
	case strings.Contains(text, "certificate"):
		return "Set tls_ca to the certificates of this service's authority"
	case strings.Contains(text, "connection refused"), strings.Contains(text, "no such host"):
		return "Is the host of the URL right, and does the service run?"
	case errors.Is(err, context.DeadlineExceeded):
		return "It has not answered in time, which is the setting timeout or the call's own"
	}
	return ""
}
