package server_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/server/servertest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

func TestAddressesThatAreRefused(t *testing.T) {
	long := "unix:///tmp/" + strings.Repeat("x", 100)
	for address, why := range map[string]string{
		"tcp://0.0.0.0:0":              "not on loopback",
		"tcp://:0":                     "not on loopback",
		"tcp://[::]:0":                 "not on loopback",
		"tcp://192.168.1.1:7400":       "write tcp://127.0.0.1:7400",
		"tcp://example.com:7400":       "not on loopback",
		"127.0.0.1:7400":               "listen address",
		"http://127.0.0.1:7400":        "write tcp://",
		long:                           "at most 100",
		"unix:///nonexistent/dir/sock": "lock",
	} {
		s, err := server.Listen(server.Config{Listen: []string{address}, Token: token})
		if err == nil {
			s.Shutdown(t.Context())
			t.Errorf("%s: accepted", address)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestT29AServerWithoutTokenDoesNotListen(t *testing.T) {
	for _, token := range []wire.Token{nil, wire.Token("short")} {
		if s, err := server.Listen(server.Config{Listen: []string{"tcp://127.0.0.1:0"}, Token: token}); err == nil {
			s.Shutdown(t.Context())
			t.Errorf("listens with a token of %d bytes", len(token))
		}
	}
}

// socket is a path short enough for sun_path, which t.TempDir is not always.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func onUnix(path string, uids ...uint32) func(*server.Config) {
	return func(c *server.Config) { c.Listen, c.UIDs = []string{"unix://" + path}, uids }
}

func TestAUnixSocketIsOfItsOwnerAndGroup(t *testing.T) {
	path := socket(t)
	r := start(t, onUnix(path))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	r.worker("w").Send(&wire.Bye{})
	r.pool.Wait(t, "Leave", "w", 1)
	r.shutdown()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestASecondBridgeOnASocketIsRefusedAndAStaleSocketReplaced(t *testing.T) {
	path := socket(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	r := start(t, onUnix(path))
	if s, err := server.Listen(server.Config{Listen: []string{"unix://" + path}, Token: token}); err == nil {
		s.Shutdown(t.Context())
		t.Error("two bridges listen on one socket")
	}
	r.worker("w")
}

func TestAFileThatIsNotASocketIsNotRemoved(t *testing.T) {
	path := socket(t)
	os.WriteFile(path, []byte("precious"), 0o600)
	if s, err := server.Listen(server.Config{Listen: []string{"unix://" + path}, Token: token}); err == nil {
		s.Shutdown(t.Context())
		t.Error("listens in place of a file")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("the file is gone")
	}
}

func TestT29AUserIDThatIsNotListedIsRefused(t *testing.T) {
	me := uint32(syscall.Getuid())
	r := start(t, onUnix(socket(t), me+1))
	if _, err := servertest.Dial(t, r.address, token, wire.RoleEvents); err != wire.RefusedUser {
		t.Errorf("dialled with %v", err)
	}
	r = start(t, onUnix(socket(t), me+1, me))
	r.worker("w")
}
