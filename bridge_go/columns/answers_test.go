package columns_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type answerVector struct {
	Why       string
	Rows      int
	Layout    []uint64
	Body      string
	Documents []string
}

// What the vectors say of answers, those that Python's writer makes and those that nobody may send.
func TestAnswersAreWhatTheVectorsSay(t *testing.T) {
	data, err := os.ReadFile(vectors + "/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Columns          json.RawMessage
		Answers, Refused []answerVector
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	p := planOf(t, `{"columns":`+string(file.Columns)+`}`)
	render := func(v answerVector) ([][]byte, error) {
		body, err := hex.DecodeString(v.Body)
		if err != nil {
			t.Fatal(err)
		}
		return p.Render(v.Rows, v.Layout, body)
	}
	for _, v := range file.Answers {
		documents, err := render(v)
		if err != nil || len(documents) != len(v.Documents) {
			t.Fatalf("%s: %d documents, %v", v.Documents[0], len(documents), err)
		}
		for i, want := range v.Documents {
			if string(documents[i]) != want {
				t.Errorf("%s, wants %s", documents[i], want)
			}
		}
	}
	for _, v := range file.Refused {
		if documents, err := render(v); err == nil {
			t.Errorf("%s: rendered as %s", v.Why, documents)
		}
	}
}
