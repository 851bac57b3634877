package calls

import (
	"fmt"
	"math"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// parameters reads [name, value, name, value, ...], or nil for none.
func parameters(a *arguments.Arguments) map[string]any {
	params := map[string]any{}
	if !a.Optional() {
		return params
	}
	a.List("params", func(pair *arguments.Arguments) {
		name := pair.Text("the name of a parameter")
		if pair.Err == nil && !pair.More() {
			pair.Err = fmt.Errorf("the parameter %q has no value", name)
		}
		v := value(pair, "parameter "+name)
		if _, twice := params[name]; twice && pair.Err == nil {
			pair.Err = fmt.Errorf("the parameter %q is given twice", name)
		}
		params[name] = v
	})
	return params
}

// value reads a value: plain, or an array that begins with its kind.
func value(a *arguments.Arguments, name string) (v any) {
	switch a.Kind() {
	case msgp.NilType:
		a.SkipNil()
	case msgp.BoolType:
		v = a.Bool(name)
	case msgp.IntType, msgp.UintType:
		v = a.Number(name, math.MinInt64, math.MaxInt64)
	case msgp.Float32Type, msgp.Float64Type:
		v = a.Float(name)
	case msgp.StrType:
		v = a.Text(name)
	case msgp.BinType:
		v = a.Bytes(name)
	default:
		a.Tuple(name, func(fields *arguments.Arguments) { v = kinded(fields) })
	}
	return v
}

// kinded reads what follows the kind of a value.
func kinded(a *arguments.Arguments) any {
	switch kind := a.Text("the kind of a value"); kind {
	case "list":
		list := sql.List{}
		for a.More() {
			list = append(list, value(a, fmt.Sprintf("item %d", len(list))))
		}
		return list
	case "timestamptz", "timestamp":
		return sql.Timestamp{Micros: a.Number("number", math.MinInt64, math.MaxInt64), Zoned: kind == "timestamptz"}
	case "date":
		return sql.Date(a.Number("number", math.MinInt64, math.MaxInt64))
	case "decimal":
		return sql.Decimal(a.Text("digits"))
	default:
		if a.Err == nil {
			a.Err = fmt.Errorf("no kind of value %q. Known: list, timestamptz, timestamp, date, decimal", kind)
		}
	}
	return nil
}
