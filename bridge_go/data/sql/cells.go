package sql

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Cell is the value at a row of a page's column, as a parameter would have it: what is written is what could be asked for.
func Cell(column arrow.Array, row int) (any, error) {
	if column.IsNull(row) {
		return nil, nil
	}
	switch c := column.(type) {
	case *array.Null:
		return nil, nil
	case *array.Boolean:
		return c.Value(row), nil
	case *array.Int8:
		return int64(c.Value(row)), nil
	case *array.Int16:
		return int64(c.Value(row)), nil
	case *array.Int32:
		return int64(c.Value(row)), nil
	case *array.Int64:
		return c.Value(row), nil
	case *array.Uint8:
		return int64(c.Value(row)), nil
	case *array.Uint16:
		return int64(c.Value(row)), nil
	case *array.Uint32:
		return int64(c.Value(row)), nil
	case *array.Uint64:
		return Decimal(fmt.Sprint(c.Value(row))), nil
	case *array.Float16:
		return float64(c.Value(row).Float32()), nil
	case *array.Float32:
		return float64(c.Value(row)), nil
	case *array.Float64:
		return c.Value(row), nil
	case *array.String:
		return c.Value(row), nil
	case *array.LargeString:
		return c.Value(row), nil
	case *array.StringView:
		return c.Value(row), nil
	case *array.Binary:
		return c.Value(row), nil
	case *array.LargeBinary:
		return c.Value(row), nil
	case *array.FixedSizeBinary:
		return c.Value(row), nil
	case *array.Decimal128:
		return Decimal(c.Value(row).ToString(c.DataType().(*arrow.Decimal128Type).Scale)), nil
	case *array.Decimal256:
		return Decimal(c.Value(row).ToString(c.DataType().(*arrow.Decimal256Type).Scale)), nil
	case *array.Date32:
		return Date(c.Value(row)), nil
	case *array.Date64:
		return Date(int64(c.Value(row)) / (24 * time.Hour).Milliseconds()), nil
	case *array.Timestamp:
		return timestampOf(c, row), nil
	case *array.Dictionary:
		return Cell(c.Dictionary(), c.GetValueIndex(row))
	case array.ListLike:
		return listOf(c, row)
	}
	return nil, Errorf(BadValue, "values of type %s cannot be written", column.DataType())
}

// timestampOf drops what is finer than a microsecond, which no database here keeps.
func timestampOf(c *array.Timestamp, row int) Timestamp {
	t := c.DataType().(*arrow.TimestampType)
	return Timestamp{Micros: c.Value(row).ToTime(t.Unit).UnixMicro(), Zoned: t.TimeZone != ""}
}

func listOf(c array.ListLike, row int) (List, error) {
	from, to := c.ValueOffsets(row)
	list := make(List, 0, to-from)
	for i := from; i < to; i++ {
		item, err := Cell(c.ListValues(), int(i))
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}
