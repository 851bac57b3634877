package folder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/data/objects/objectstest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func open(t *testing.T, url, dir string) objects.Bucket {
	t.Helper()
	b, err := objects.Open(t.Context(), messaging.Options{Name: "models", URL: url, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBattery(t *testing.T) {
	folders := map[*testing.T]string{}
	objectstest.Run(t, objectstest.Harness{
		Open: func(t *testing.T) objects.Bucket {
			if folders[t] == "" {
				folders[t] = t.TempDir()
			}
			return open(t, "file:data", folders[t])
		},
		Leftovers: func(t *testing.T) int {
			left, err := os.ReadDir(filepath.Join(folders[t], "data", parts))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			return len(left)
		},
	})
}

func put(t *testing.T, b objects.Bucket, key, data string) error {
	t.Helper()
	sum := sha256.Sum256([]byte(data))
	u, err := b.Create(t.Context(), key, objects.Announced{Size: -1})
	if err != nil {
		return err
	}
	if err := u.Part(t.Context(), 1, []byte(data)); err != nil {
		t.Fatal(err)
	}
	return u.Finish(t.Context(), int64(len(data)), hex.EncodeToString(sum[:]))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPathsOfURLs(t *testing.T) {
	dir := t.TempDir()
	for url, want := range map[string]string{
		"file:data/models":             dir + "/data/models",
		"file:data/models/":            dir + "/data/models",
		"file:data/my%20models":        dir + "/data/my models",
		"file://" + dir + "/elsewhere": dir + "/elsewhere",
		"file:" + dir + "/elsewhere":   dir + "/elsewhere",
	} {
		if got := open(t, url, dir).(*bucket).path; got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	for _, url := range []string{"file:", "file://", "file:a%00b", "file:a%zz"} {
		if _, err := objects.Open(t.Context(), messaging.Options{Name: "models", URL: url, Dir: dir}); err == nil || !strings.Contains(err.Error(), "folder") {
			t.Errorf("%s: %v", url, err)
		}
	}
	_, err := objects.Open(t.Context(), messaging.Options{Name: "models", URL: "file:data", Dir: dir, Settings: map[string]string{"region": "eu"}})
	if err == nil || !strings.Contains(err.Error(), `connection models: no setting "region"`) {
		t.Error(err)
	}
}

func TestLinksDoNotLeadOut(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:in", dir)
	must(t, os.WriteFile(dir+"/secret", []byte("secret"), 0o600))
	must(t, os.Mkdir(dir+"/out", 0o700))
	for link, to := range map[string]string{"abs": dir + "/secret", "rel": "../secret", "dir": dir + "/out", "up": "..", "loop": "loop"} {
		must(t, os.Symlink(to, dir+"/in/"+link))
	}
	for _, key := range []string{"abs", "rel", "dir/x", "up/secret", "loop"} {
		if info, err := b.Head(t.Context(), key); err == nil {
			t.Errorf("%s: %+v", key, info)
		}
		if data, err := b.Read(t.Context(), key, 0, 10); err == nil {
			t.Errorf("%s: %q", key, data)
		}
	}
	for _, key := range []string{"dir/x", "up/x"} {
		if err := put(t, b, key, "x"); err == nil {
			t.Errorf("%s was written", key)
		}
	}
	must(t, put(t, b, "abs", "own")) // in place of the link
	if data, _ := os.ReadFile(dir + "/secret"); string(data) != "secret" {
		t.Errorf("%q", data)
	}
	if found, err := b.List(t.Context(), "", "", 100); err != nil || len(found) != 1 || found[0].Key != "abs" {
		t.Errorf("%v, %v", found, err)
	}
	for _, key := range []string{"dir", "up", "rel"} {
		must(t, b.Delete(t.Context(), key))
	}
	if left, err := os.ReadDir(dir + "/out"); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestLinksInsideAreFollowed(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:in", dir)
	must(t, put(t, b, "..data/model.bin", "x")) // as a cluster mounts files
	must(t, os.Symlink("..data/model.bin", dir+"/in/model.bin"))
	if data, err := b.Read(t.Context(), "model.bin", 0, 10); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestFilesOfOthersHaveNoHash(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:in", dir)
	must(t, os.WriteFile(dir+"/in/theirs", []byte("x"), 0o600))
	must(t, put(t, b, "ours", "x"))
	must(t, os.WriteFile(dir+"/in/ours", []byte("y"), 0o600))
	for _, key := range []string{"theirs", "ours"} {
		if info, err := b.Head(t.Context(), key); err != nil || info.Size != 1 || info.SHA256 != "" {
			t.Errorf("%+v, %v", info, err)
		}
	}
}

func TestNotesAreNoObjects(t *testing.T) {
	b := open(t, "file:in", t.TempDir())
	must(t, put(t, b, "a", "x"))
	for _, key := range []string{lock, ours, ".DS-Objects/lock", noteOf("a")} {
		if _, err := b.Head(t.Context(), key); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
		if err := put(t, b, key, "x"); err == nil || !strings.Contains(err.Error(), "kept for notes") {
			t.Errorf("%s: %v", key, err)
		}
		must(t, b.Delete(t.Context(), key))
	}
	if info, err := b.Head(t.Context(), "a"); err != nil || info.SHA256 == "" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestWhatAFolderCannotHoldIsSaid(t *testing.T) {
	b := open(t, "file:in", t.TempDir())
	must(t, put(t, b, "a", "x"))
	must(t, put(t, b, "b/c", "x"))
	for _, key := range []string{"a/b", "b"} {
		var refused *objects.Error
		if err := put(t, b, key, "x"); !errors.As(err, &refused) || refused.Code != "bad_value" || !strings.Contains(refused.Reason, "no object can be below another") {
			t.Errorf("%s: %v", key, err)
		}
	}
	b.(*bucket).sensitive = func() bool { return false }
	if err := put(t, b, "Model", "x"); err == nil || !strings.Contains(err.Error(), "does not tell A from a, write model") {
		t.Error(err)
	}
	must(t, put(t, b, "model", "x"))
}

func TestPipesAndFoldersAreNotRead(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:in", dir)
	if err := exec.Command("mkfifo", dir+"/in/pipe").Run(); err != nil {
		t.Fatal(err)
	}
	must(t, os.Mkdir(dir+"/in/folder", 0o700))
	for _, key := range []string{"pipe", "folder"} {
		if _, err := b.Head(t.Context(), key); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := b.Read(t.Context(), key, 0, 1); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if found, err := b.List(t.Context(), "", "", 10); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestWhatKilledProcessesLeaveIsRemovedLater(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:in", dir)
	for _, key := range []string{"old", "new"} {
		_, err := b.Create(t.Context(), key, objects.Announced{Size: -1})
		must(t, err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "in", parts))
	must(t, err)
	past := time.Now().Add(-staleAfter - time.Hour)
	must(t, os.Chtimes(filepath.Join(dir, "in", parts, left[0].Name()), past, past))
	open(t, "file:in", dir)
	if left, err = os.ReadDir(filepath.Join(dir, "in", parts)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestAFolderThatVanishedIsSaidAndOneThatCameBackIsFound(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:in", dir)
	must(t, put(t, b, "a", "x"))
	must(t, os.Rename(dir+"/in", dir+"/away"))
	if _, err := b.Head(t.Context(), "a"); errors.Is(err, objects.ErrNotFound) || !strings.Contains(err.Error(), "open the folder") {
		t.Error(err)
	}
	must(t, os.Rename(dir+"/away", dir+"/in"))
	if _, err := b.Head(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestTwoProcessesShareAFolder(t *testing.T) {
	dir := t.TempDir()
	one, other := open(t, "file:in", dir), open(t, "file:in", dir)
	done := make(chan error, 2)
	for _, b := range []objects.Bucket{one, other} {
		go func() {
			for range 50 {
				if err := put(t, b, "deep/down/k", "value"); err != nil {
					done <- err
					return
				}
				if err := b.Delete(context.Background(), "deep/down/k"); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	must(t, errors.Join(<-done, <-done))
}

// The other objects there would lose a name that they are read by.
func TestALinkToAFolderOutlivesTheObjectsThatAreDeletedThroughIt(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:data", dir)
	must(t, put(t, b, "v3/a", "1"))
	must(t, put(t, b, "v3/b", "2"))
	must(t, os.Symlink("v3", filepath.Join(dir, "data", "current")))
	must(t, b.Delete(t.Context(), "current/a"))
	if data, err := b.Read(t.Context(), "current/b", 0, 10); err != nil || string(data) != "2" {
		t.Fatalf("%q, %v", data, err)
	}
	if _, err := b.Head(t.Context(), "v3/a"); !errors.Is(err, objects.ErrNotFound) {
		t.Fatal(err)
	}
}

// Another process may be stopped while it holds the lock.
func TestAChangeThatWaitsForAnotherProcessEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	b := open(t, "file:data", dir)
	must(t, put(t, b, "a", "1"))
	held, err := os.Open(filepath.Join(dir, "data", lock))
	must(t, err)
	defer held.Close()
	must(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Delete(ctx, "a") }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for ever")
	}
	must(t, unix.Flock(int(held.Fd()), unix.LOCK_UN))
	must(t, b.Delete(t.Context(), "a"))
}
