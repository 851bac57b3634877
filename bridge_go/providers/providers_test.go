package providers_test

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/providers"
)

func TestOneServerIsSharedByAProcess(t *testing.T) {
	first, second := providers.URL(t, "redis"), providers.URL(t, "redis")
	if first != second {
		t.Errorf("two servers: %s and %s", first, second)
	}
	if answer, err := ask(first, time.Minute); err != nil || answer != "+PONG" {
		t.Errorf("answer %q, error %v", answer, err)
	}
}

func TestAFileNamesServersThatRunAlready(t *testing.T) {
	file := filepath.Join(t.TempDir(), "providers.json")
	if err := os.WriteFile(file, []byte(`{"redis": {"url": "redis://there:1"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DS_PROVIDERS", file)
	if url := providers.URL(t, "redis"); url != "redis://there:1" {
		t.Errorf("not the file's: %s", url)
	}
}

func TestAnOwnServerIsKilledAndComesBackWhereItWas(t *testing.T) {
	own := providers.Own(t, "redis")
	own.Kill()
	if _, err := ask(own.URL, time.Second); err == nil {
		t.Error("it answers after its kill")
	}
	own.Restart()
	if answer, err := ask(own.URL, time.Minute); err != nil || answer != "+PONG" {
		t.Errorf("answer %q, error %v", answer, err)
	}
}

func TestAPausedServerIsConnectedAndSilent(t *testing.T) {
	own := providers.Own(t, "redis")
	own.Pause()
	if answer, err := ask(own.URL, time.Second); err == nil {
		t.Errorf("it answers in its pause: %q", answer)
	}
	own.Resume()
	if answer, err := ask(own.URL, time.Minute); err != nil || answer != "+PONG" {
		t.Errorf("answer %q, error %v", answer, err)
	}
}

func ask(url string, patience time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "redis://"), patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}
