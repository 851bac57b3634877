package positions

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPositionIsFoundAgain(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "not", "there"), Sync: true}
	var got int
	if found, err := s.Load("t", "g", &got); found || err != nil {
		t.Fatalf("%v, %v", found, err)
	}
	for _, want := range []int{1, 2} {
		if err := s.Save("t", "g", want); err != nil {
			t.Fatal(err)
		}
		if found, err := s.Load("t", "g", &got); !found || err != nil || got != want {
			t.Fatalf("%v, %d, %v", found, got, err)
		}
	}
}

func TestADamagedFileIsAnErrorThatNamesIt(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	os.WriteFile(s.Path("t", "g"), []byte("{"), 0o600)
	var got int
	if _, err := s.Load("t", "g", &got); err == nil || !strings.Contains(err.Error(), s.Path("t", "g")) {
		t.Fatalf("got %v", err)
	}
}

func TestNamesThatLookAlikeStayApart(t *testing.T) {
	seen := map[string]string{}
	for _, n := range [][]string{{"a/b", "c"}, {"a_b", "c"}, {"a", "b@c"}, {"a@b", "c"}, {"", ""}, {"..", "x"}, {strings.Repeat("x", 500), "y"}} {
		name := FileName(n...)
		if other, dup := seen[name]; dup || strings.ContainsAny(name, "/\x00") || len(name) > 200 || strings.HasPrefix(name, ".") {
			t.Errorf("%q: %s (also %s)", n, name, other)
		}
		seen[name] = strings.Join(n, "|")
	}
}
