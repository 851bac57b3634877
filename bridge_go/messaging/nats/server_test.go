package nats

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// A natsServer is a real server in a process of its own, which may be killed and started again.
type natsServer struct {
	t    testing.TB
	dir  string
	port int
	more []string
	cmd  *exec.Cmd
}

func startServer(t testing.TB, more ...string) *natsServer {
	t.Helper()
	s := &natsServer{t: t, dir: t.TempDir(), port: providers.FreePort(t), more: more}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *natsServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

func (s *natsServer) start() {
	s.t.Helper()
	args := append([]string{"-a", "127.0.0.1", "-p", fmt.Sprint(s.port), "-js", "-sd", filepath.Join(s.dir, "js"), "-l", filepath.Join(s.dir, "log")}, s.more...)
	program, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(program, args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port)); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("the server does not start: %s", log)
		}
	}
}

// kill ends it as kill -9 does.
func (s *natsServer) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *natsServer) restart() {
	s.t.Helper()
	s.kill()
	s.start()
}

// program is the server that tests/providers builds, once for all.
var program = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		return "", err
	}
	python := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	c := exec.Command(python, "-c", "from tests.providers.local import goserver; print(goserver.nats())")
	c.Dir, c.Stderr = root, os.Stderr
	path, err := c.Output()
	return strings.TrimSpace(string(path)), err
})
