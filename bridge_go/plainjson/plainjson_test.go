package plainjson

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestTextsAreReadAsTheyWereMeant(t *testing.T) {
	for text, want := range map[string]string{
		"":                      `""`,
		"number > 0 & <= 5":     `"number > 0 & <= 5"`,
		"a \"b\" \\ \n\x00\x7f": `"a \"b\" \\ \n\u0000` + "\x7f" + `"`,
		"ж < 語":                 `"ж < 語"`,
		"line\u2028end":         `"line\u2028end"`,
		"\xff>":                 `"` + `\ufffd` + `>"`,
	} {
		got := AppendString([]byte("x"), text)
		if string(got) != "x"+want {
			t.Errorf("%q: %s, not %s", text, got, want)
		}
		if made, err := Marshal(text); err != nil || string(made) != want {
			t.Errorf("%q: %s, %v", text, made, err)
		}
	}
}

func TestValuesInsideValuesArePlainToo(t *testing.T) {
	value := map[string]any{"a": json.RawMessage(`{"b":"<"}`), "c": []string{">&"}}
	if made, err := Marshal(value); err != nil || string(made) != `{"a":{"b":"<"},"c":[">&"]}` {
		t.Errorf("%s, %v", made, err)
	}
	if _, err := Marshal(make(chan int)); err == nil {
		t.Error("a channel is no JSON")
	}
}

func FuzzAStringIsTheSameForEveryReader(f *testing.F) {
	f.Add("a < b")
	f.Add("\xf0\x28\x8c")
	f.Fuzz(func(t *testing.T, text string) {
		usual, _ := json.Marshal(text)
		var want, got string
		if json.Unmarshal(usual, &want) != nil || json.Unmarshal(AppendString(nil, text), &got) != nil || got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
		if bytes.Contains(AppendString(nil, text), []byte(`\u003`)) && !bytes.Contains([]byte(text), []byte(`\u003`)) && !bytes.Contains([]byte(text), []byte(`u003`)) {
			t.Errorf("%q is escaped", text)
		}
	})
}
