package file

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A format is what a topic's name says of its content.
type format struct {
	kind kind
	gzip bool
}

type kind int

const (
	values  kind = iota // a JSON value a line
	records             // a whole record a line
	csv
)

func formatOf(topic, lines string) (format, error) {
	name, gz := strings.CutSuffix(strings.ToLower(filepath.Base(topic)), ".gz")
	f := format{gzip: gz}
	switch extension := filepath.Ext(name); {
	case extension == ".csv":
		f.kind = csv
	case extension == ".dead":
		f.kind = records
	case extension != ".jsonl" && extension != ".ndjson":
		return f, fmt.Errorf("file: %s: no format for %q. Known: .jsonl, .ndjson, .csv, .dead, each with .gz. "+
			"One JSON document is made one value a line by: jq -c '.[]' in.json > in.jsonl", topic, extension)
	case lines == "records", lines == "auto" && wholeRecords(name, extension):
		f.kind = records
	}
	return f, nil
}

func wholeRecords(name, extension string) bool {
	stem := strings.TrimSuffix(name, extension)
	return strings.HasSuffix(stem, ".dead") || strings.HasSuffix(stem, ".records")
}
