package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin serves /metrics, /livez and the repository of models apart from users' requests: a full front must not hide its own figures.
type admin struct {
	listener net.Listener
	server   *http.Server
}

// serveAdmin listens; versions makes what answers about versions of models, told whether only this machine reaches the listener.
func serveAdmin(address string, registry *prometheus.Registry, versions func(loopback bool) http.Handler, log *slog.Logger) (*admin, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("/v2/repository/", versions(loopback(l.Addr().String())))
	a := &admin{listener: l, server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}
	go func() {
		if err := a.server.Serve(l); err != http.ErrServerClosed {
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	return a, nil
}

func (a *admin) address() string { return a.listener.Addr().String() }

// close also ends the goroutine of serveAdmin.
func (a *admin) close(ctx context.Context) error { return a.server.Shutdown(ctx) }
