// Package providers gives Go tests the real brokers and databases that tests/providers starts: containers where an
// engine answers, else local processes. Tests alone import it.
package providers

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
)

// endpoints is what tests.providers prints, and what the file that DS_PROVIDERS names holds.
type endpoints map[string]struct {
	URL string `json:"url"`
}

var shared = struct {
	sync.Mutex
	holders map[string]*holder
}{holders: map[string]*holder{}}

// URL is where the component name ("kafka", "nats", "redis", "postgres", "s3", "registry") serves. It is shared by all
// tests of this process, and of the whole run when DS_PROVIDERS names a file: take topics, subjects, keys and tables of
// your own. It is started at first use and ends with the process, however that ends. A component that cannot be had
// fails the test.
func URL(t testing.TB, name string) string {
	t.Helper()
	if file := os.Getenv("DS_PROVIDERS"); file != "" {
		url, err := given(file, name)
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.holders[name] == nil {
		held, err := hold(name)
		if err != nil {
			t.Fatal(err)
		}
		shared.holders[name] = held
	}
	return shared.holders[name].url
}

func given(file, name string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("DS_PROVIDERS: %w", err)
	}
	var found endpoints
	if err := json.Unmarshal(text, &found); err != nil {
		return "", fmt.Errorf("DS_PROVIDERS=%s: %w", file, err)
	}
	if found[name].URL == "" {
		return "", fmt.Errorf("DS_PROVIDERS=%s has no %q: name it in `python -m tests.providers run`", file, name)
	}
	return found[name].URL, nil
}

// Component is a server that belongs to one test, which may do to it what it likes. Its address and its data stay the
// same through Kill, Stop and Restart. All methods return when what they say is true.
type Component struct {
	URL  string
	name string
	held *holder
	t    testing.TB
}

// Own starts the component name for t alone, and ends it with t.
func Own(t testing.TB, name string) *Component {
	t.Helper()
	held, err := hold(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(held.close)
	return &Component{URL: held.url, name: name, held: held, t: t}
}

// Kill ends it by SIGKILL.
func (c *Component) Kill() { c.t.Helper(); c.tell("kill") }

// Stop ends it in order.
func (c *Component) Stop() { c.t.Helper(); c.tell("stop") }

// Restart starts it again where it was, with the data it had.
func (c *Component) Restart() { c.t.Helper(); c.tell("restart") }

// Pause freezes it: connections stay open and nothing is answered.
func (c *Component) Pause() { c.t.Helper(); c.tell("pause") }

// Resume ends a Pause.
func (c *Component) Resume() { c.t.Helper(); c.tell("resume") }

func (c *Component) tell(verb string) {
	c.t.Helper()
	if err := c.held.tell(verb + " " + c.name); err != nil {
		c.t.Fatal(err)
	}
}
