package wire

import (
	"bytes"
	"fmt"
	"log/slog"
)

// A Token is the secret that both sides know. It is masked wherever it could be printed.
type Token []byte

// LeastToken is the shortest token.
const LeastToken = 16

// ParseToken takes the content of a token file: all of it but ASCII white space at its ends. The error does not show it.
func ParseToken(file []byte) (Token, error) {
	token := bytes.Trim(file, " \t\n\v\f\r")
	if len(token) < LeastToken {
		return nil, fmt.Errorf("wire: a token of %d bytes, at least %d are needed", len(token), LeastToken)
	}
	return Token(bytes.Clone(token)), nil
}

const masked = "[token]"

func (Token) String() string               { return masked }
func (Token) GoString() string             { return masked }
func (Token) LogValue() slog.Value         { return slog.StringValue(masked) }
func (Token) Format(f fmt.State, _ rune)   { fmt.Fprint(f, masked) }
func (Token) MarshalText() ([]byte, error) { return []byte(masked), nil }
