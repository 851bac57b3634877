package providers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// holder is a `python -m tests.providers hold` that lives as long as its standard input: this process's end of a pipe.
type holder struct {
	url     string
	command *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Reader
	remarks *bytes.Buffer // read only once the process has ended
}

func hold(name string) (*holder, error) {
	root, err := checkout()
	if err != nil {
		return nil, err
	}
	h := &holder{remarks: &bytes.Buffer{}}
	h.command = exec.Command(python(root), "-m", "tests.providers", "hold", name)
	h.command.Dir = root
	h.command.Env = slices.DeleteFunc(os.Environ(), func(setting string) bool {
		return strings.HasPrefix(setting, "DS_PROVIDERS=")
	})
	h.command.Stderr = h.remarks
	if h.stdin, err = h.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := h.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.answers = bufio.NewReader(out)
	if err := h.command.Start(); err != nil {
		return nil, fmt.Errorf("python for tests.providers: %w", err)
	}
	if h.url, err = h.endpoint(name); err != nil {
		h.close()
		return nil, fmt.Errorf("tests.providers hold %s: %w: %s", name, err, h.remarks)
	}
	return h, nil
}

func (h *holder) endpoint(name string) (string, error) {
	line, err := h.answers.ReadBytes('\n')
	if err != nil {
		return "", errors.New("it ended before it was ready")
	}
	var found endpoints
	if err := json.Unmarshal(line, &found); err != nil {
		return "", err
	}
	return found[name].URL, nil
}

func (h *holder) tell(what string) error {
	if _, err := fmt.Fprintln(h.stdin, what); err != nil {
		return fmt.Errorf("tests.providers: %s: %w", what, err)
	}
	answer, err := h.answers.ReadString('\n')
	if err != nil {
		return fmt.Errorf("tests.providers: %s: %w", what, err)
	}
	if answer != "ok\n" {
		return fmt.Errorf("tests.providers: %s: %s", what, answer)
	}
	return nil
}

func (h *holder) close() {
	_ = h.stdin.Close()
	_ = h.command.Wait()
}

// checkout is the folder that has tests/providers, above the package under test.
func checkout() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for folder := here; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "tests", "providers", "__main__.py")); err == nil {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("no tests/providers above %s: run the tests inside a checkout", here)
		}
	}
}

func python(root string) string {
	if own := filepath.Join(root, ".venv", "bin", "python"); exec.Command(own, "--version").Run() == nil {
		return own
	}
	return "python3"
}
