package columns

import (
	"errors"
	"fmt"
	"strconv"
)

// An output is one column of answers.
type output struct {
	kind     encoding
	nullable bool
	lead     []byte   // what stands before the value: {"wire": or ,"wire":
	choices  [][]byte // of a category that says them: each as JSON
}

// saidOutput is an output as JSON has it.
type saidOutput struct {
	Name     string  `json:"name"`
	Wire     *string `json:"wire"`
	Kind     string  `json:"kind"`
	Nullable bool    `json:"nullable"`
	Choices  []any   `json:"choices"`
}

// output is the column at a place in the plan. A category without choices comes as text.
func (s *saidOutput) output(at int) (output, error) {
	kind, known := kinds[s.Kind]
	if !known {
		return output{}, fmt.Errorf("kind is %q, wants float, int, bool, str, category, datetime or date", s.Kind)
	}
	o := output{kind: kind, nullable: s.Nullable}
	wire := s.Name
	if s.Wire != nil {
		wire = *s.Wire
	}
	o.lead = append(appendString([]byte{"{,"[min(at, 1)]}, []byte(wire)), ':')
	if s.Choices == nil {
		return o, nil
	}
	if kind != asCodes {
		return output{}, errors.New("choices are for a category")
	}
	err := eachChoice(s.Choices, func(_ int32, text string) bool {
		o.choices = append(o.choices, appendString(nil, []byte(text)))
		return true
	}, func(_ int32, number int64) bool {
		o.choices = append(o.choices, strconv.AppendInt(nil, number, 10))
		return true
	})
	return o, err
}

// takes says whether values of this output may come so.
func (o *output) takes(e encoding) bool {
	switch o.kind {
	case asText:
		return e == asText || e == asWords
	case asCodes:
		return e == asText || e == asWords || e == asCodes && o.choices != nil
	}
	return e == o.kind
}
