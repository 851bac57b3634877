package front

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Several models behind one listener: each is a front of its own, with lanes, limits, types and metrics of its own, but for what belongs to
// the listener (connections, TLS, tokens, the end), which is the host's. By path a request comes to the front of its model:
//
//	/models/NAME/predict           as /predict; of the program's own model, too. Those of others have docs and openapi.json besides
//	/v2/models/NAME/...            as ever
//
// and by the name in the message over gRPC. The program's own model answers at both /predict and /v2/models/PROGRAM.

const modelsPath = "/models/"

// Pages that each model has.
var pagesOfModels = map[string]bool{"predict": true, "docs": true, "openapi.json": true}

// Host has requests that name the other front's model answered by it. It is called before Listen; the other one never listens, and ends
// with this one.
func (f *Front) Host(other *Front) {
	if f.guests == nil {
		f.guests = map[string]*Front{}
	}
	f.guests[other.cfg.Program] = other
	other.base, other.guarded = modelsPath+other.cfg.Program+"/", f.guarded
}

// guestOf is the front of the model that a path names, with the request as that one knows it; nil when it is this one's.
func (f *Front) guestOf(r *http.Request) (*Front, *http.Request) {
	if len(f.guests) == 0 {
		return nil, nil
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v2"+modelsPath); ok {
		name, _, _ := strings.Cut(rest, "/")
		return f.guests[name], r
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, modelsPath); ok {
		if name, page, _ := strings.Cut(rest, "/"); f.guests[name] != nil && pagesOfModels[page] {
			inner := *r
			inner.URL = &url.URL{Path: "/" + page, RawQuery: r.URL.RawQuery}
			return f.guests[name], &inner
		}
	}
	return nil, nil
}

// frontOf is the front of a model by its name; this one where it is nobody else's.
func (f *Front) frontOf(model string) *Front {
	if guest := f.guests[model]; guest != nil {
		return guest
	}
	return f
}

// answerAs has a page answered that has passed the edges, and counts it.
func (f *Front) answerAs(w http.ResponseWriter, r *http.Request, start time.Time) (page, int) {
	if r.URL.Path == "/predict" {
		return pagePredict, f.predict(w, r, start)
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, modelsPath); ok {
		name, page, _ := strings.Cut(rest, "/")
		if name == f.cfg.Program && page == "predict" {
			return pagePredict, f.predict(w, r, start)
		}
		if f.guests[name] == nil && name != f.cfg.Program {
			return pageOther, f.fail(w, f.noModel(name))
		}
		return pageOther, f.fail(w, &problem{http.StatusNotFound, "not_found", "no page " + page + " of a model, but predict; further ones have docs and openapi.json, too"})
	}
	return f.other(w, r, start)
}

// serverCause is why the whole server is not ready: every model is needed.
func (f *Front) serverCause() string {
	if cause := f.cause(); cause != "" {
		return cause
	}
	for name, guest := range f.guests {
		if cause := guest.cause(); cause != "" {
			return name + ": " + cause
		}
	}
	return ""
}

func (f *Front) noModel(name string) *problem {
	known := append([]string{f.cfg.Program}, slices.Sorted(maps.Keys(f.guests))...)
	return &problem{http.StatusNotFound, "no_model", "no model " + name + " here, but " + strings.Join(known, ", ")}
}

func (f *Front) eachGuest(do func(guest *Front)) {
	for _, guest := range f.guests {
		do(guest)
	}
}
