package front

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestOnlyWhatHasServedWarnsThatItIsNotReady(t *testing.T) {
	var log bytes.Buffer
	f := &Front{cfg: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	begun := &state{cause: "starting"}
	waiting := &state{cause: "no worker is ready"}
	serves := &state{served: true}
	f.tellState(begun, waiting)
	f.tellState(waiting, serves)
	f.tellState(serves, &state{cause: "no worker is ready", served: true})
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "level=INFO") || !strings.Contains(lines[1], "level=INFO msg=ready") ||
		!strings.Contains(lines[2], `level=WARN msg="not ready"`) {
		t.Errorf("said %q", lines)
	}
}
