//go:build goexperiment.jsonv2

package columns_test

import (
	"bytes"
	"encoding/json/jsontext"
	"io"
)

// strictlyJSON is by json/v2, which holds texts to UTF-8 and surrogates to pairs itself.
func strictlyJSON(payload []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(payload), jsontext.AllowDuplicateNames(true))
	if err := d.SkipValue(); err != nil {
		return false
	}
	_, err := d.ReadToken()
	return err == io.EOF
}
