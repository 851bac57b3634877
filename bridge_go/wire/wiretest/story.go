package wiretest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Story is a file of dialogues/, or of dialogues-1.1/.
type Story struct {
	Story, Role    string
	Minor          uint8
	BreaksTheRules string `json:"breaks_the_rules"`
	Steps          []Step
}

// A Step is one thing that happens in a story.
type Step struct {
	From, Event, Hex string
	Told             Form `json:"frame"` // as the story tells it
	Frame            Form `json:"-"`     // with what the story leaves out
	State, Outcome   string
	Returned         *[]uint64
}

// Body is the step's frame without its length.
func (s *Step) Body(t testing.TB) []byte {
	t.Helper()
	if s.Frame == nil {
		return Hex(t, s.Hex)
	}
	return s.Frame.Encode(t)
}

// Stories reads all dialogues, by name.
func Stories(t testing.TB) map[string]*Story {
	t.Helper()
	stories := map[string]*Story{}
	for _, folder := range []string{"dialogues", "dialogues-1.1"} {
		readStories(t, folder, stories)
	}
	return stories
}

func readStories(t testing.TB, folder string, stories map[string]*Story) {
	t.Helper()
	var defaults map[string]Form
	Load(t, folder+"/defaults.json", &defaults)
	files, err := os.ReadDir(filepath.Join(Root(), folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file.Name() == "defaults.json" {
			continue
		}
		story := &Story{}
		Load(t, folder+"/"+file.Name(), story)
		for i := range story.Steps {
			if told := story.Steps[i].Told; told != nil {
				story.Steps[i].Frame = told.With(defaults[told.Type()])
			}
		}
		stories[strings.TrimSuffix(file.Name(), ".json")] = story
	}
}
