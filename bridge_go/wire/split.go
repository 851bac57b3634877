package wire

import (
	"bytes"
	"fmt"
)

// Split gives the frame's outputs one by one, without the line breaks of Lines. They point into the frame. A result that
// was decoded always splits; the error is for one that was made by hand.
func (m *Result) Split() ([][]byte, error) {
	if m.Lines == nil {
		return m.Outputs, nil
	}
	outputs := make([][]byte, 0, m.outputs())
	for rest := m.Lines; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n')
		if n < 0 {
			return nil, fmt.Errorf("wire: RESULT.outputs: lines without a line break at the end")
		}
		outputs = append(outputs, rest[:n:n])
		rest = rest[n+1:]
	}
	return outputs, nil
}
