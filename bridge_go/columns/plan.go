package columns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A Plan says what the columns of an event class are, and those of its answers. It does not change; many may use it at once.
type Plan struct {
	fields  []field
	names   dictionary // of the fields in JSON, in their order
	refuses bool
	outputs []output
}

// ReadPlan reads the "columns" object of a HELLO's describe. It is nil where there is none.
//
// An error means that the plan has something that this version does not know or that cannot be: then events of the worker have to go
// as payloads, since a constraint that is passed over would let through what the worker refuses.
func ReadPlan(describe []byte) (*Plan, error) {
	if len(describe) == 0 {
		return nil, nil
	}
	var whole struct {
		Columns json.RawMessage `json:"columns"`
	}
	if err := json.Unmarshal(describe, &whole); err != nil {
		return nil, fmt.Errorf("columns: describe is no JSON object: %w", err)
	}
	if len(whole.Columns) == 0 || string(whole.Columns) == "null" {
		return nil, nil
	}
	var said saidPlan
	if err := decodeStrict(whole.Columns, &said); err != nil {
		return nil, fmt.Errorf("columns: the plan: %w", err)
	}
	return said.plan()
}

// Answers says whether results of the class may come as columns.
func (p *Plan) Answers() bool { return len(p.outputs) > 0 }

// saidPlan is the plan as JSON has it.
type saidPlan struct {
	Unknown string       `json:"unknown"`
	Fields  []saidField  `json:"fields"`
	Outputs []saidOutput `json:"outputs"`
}

func (s *saidPlan) plan() (*Plan, error) {
	p := &Plan{refuses: s.Unknown == "refuse"}
	if !p.refuses && s.Unknown != "skip" {
		return nil, fmt.Errorf("columns: unknown is %q, wants skip or refuse", s.Unknown)
	}
	for i := range s.Fields {
		f, err := s.Fields[i].field()
		if err != nil {
			return nil, fmt.Errorf("columns: field %q: %w", s.Fields[i].Name, err)
		}
		if _, twice := p.names.find([]byte(f.wire)); twice {
			return nil, fmt.Errorf("columns: two fields are %q in JSON", f.wire)
		}
		p.names.add([]byte(f.wire))
		p.fields = append(p.fields, f)
	}
	for i := range s.Outputs {
		o, err := s.Outputs[i].output(i)
		if err != nil {
			return nil, fmt.Errorf("columns: output %q: %w", s.Outputs[i].Name, err)
		}
		p.outputs = append(p.outputs, o)
	}
	return p, nil
}

// decodeStrict refuses names that `into` does not have, and anything behind the value.
func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}
