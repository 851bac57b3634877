package front

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ServeHTTP answers every page. What is asked most comes first.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	h := w.Header()
	h["X-Request-Id"] = []string{f.ids.of(r.Header["X-Request-Id"])}
	if f.log != nil {
		r.Header["X-Request-Id"] = h["X-Request-Id"]
	}
	if f.ending() {
		h["Connection"] = closeValue
	}
	status, page, of := http.StatusInternalServerError, pageOther, f
	defer func() {
		if broken := recover(); broken != nil && broken != http.ErrAbortHandler {
			f.cfg.Log.Error("a request broke the front", "path", r.URL.Path, "request", h["X-Request-Id"][0], "panic", fmt.Sprint(broken), "stack", string(debug.Stack()))
			status = f.fail(w, &problem{http.StatusInternalServerError, "internal", "internal error"})
		}
		of.numbers.request(page, status, time.Since(start))
	}()
	out, refused := f.edges(w, r)
	switch {
	case refused != nil:
		status = f.fail(w, refused)
	case len(f.guests) > 0:
		if guest, inner := f.guestOf(r); guest != nil {
			of, r = guest, inner
		}
		page, status = of.answerAs(out, r, start)
	case r.URL.Path == "/predict":
		page = pagePredict
		status = f.predict(out, r, start)
	default:
		page, status = f.answerAs(out, r, start)
	}
}

// edges is what every request passes before its page: the token, trace context, and codings of bodies, its own and the answer's.
func (f *Front) edges(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *problem) {
	if !f.guard.admits(r) {
		return w, problemToken
	}
	if given := r.Header[traceHeader]; given != nil {
		trace(w.Header(), r, given)
	}
	if codings := r.Header["Content-Encoding"]; codings != nil {
		if p := unpack(r, codings, f.cfg.MaxBody); p != nil {
			return w, p
		}
	}
	if takesGzip(r.Header["Accept-Encoding"]) {
		return compressing{w}, nil
	}
	return w, nil
}

func (f *Front) other(w http.ResponseWriter, r *http.Request, start time.Time) (page, int) {
	path := r.URL.Path
	if path == "/v2" || strings.HasPrefix(path, "/v2/") {
		return f.openInference(w, r, start)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return pageOther, f.notAllowed(w, http.MethodGet)
	}
	switch path {
	case "/livez":
		return pageHealth, f.show(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	case "/readyz":
		return pageHealth, f.readyz(w)
	case "/openapi.json":
		return pageOther, f.show(w, http.StatusOK, "application/json", f.types.Load().openAPI(f.cfg.Program, f.base, f.guarded))
	case "/docs":
		w.Header().Set("Content-Security-Policy", docsPolicy)
		return pageOther, f.show(w, http.StatusOK, "text/html; charset=utf-8", docsPage)
	case "/docs.js":
		return pageOther, f.show(w, http.StatusOK, "text/javascript; charset=utf-8", docsScript)
	case "/":
		http.Redirect(w, r, "/docs", http.StatusTemporaryRedirect)
		return pageOther, http.StatusTemporaryRedirect
	case "/metrics":
		if f.cfg.Gatherer != nil {
			promhttp.HandlerFor(f.cfg.Gatherer, promhttp.HandlerOpts{}).ServeHTTP(w, r)
			return pageOther, http.StatusOK
		}
	}
	return pageOther, f.fail(w, problemLost)
}

func (f *Front) show(w http.ResponseWriter, status int, kind string, data []byte) int {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	return write(w, status, data)
}
