package front

import (
	"net/http"
	"strings"
	"time"
)

// The REST core of the Open Inference Protocol, version 2. One model, named as the program; its version is the one that
// answers now. Errors are {"error": ...}.
//
//	GET  /v2                                     the server
//	GET  /v2/health/live, /v2/health/ready
//	GET  /v2/models/{m}[/versions/{v}]           names and types of tensors
//	GET  /v2/models/{m}[/versions/{v}]/ready
//	POST /v2/models/{m}[/versions/{v}]/infer     JSON tensors
func (f *Front) openInference(w http.ResponseWriter, r *http.Request, start time.Time) (page, int) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")[1:]
	switch {
	case len(parts) == 0:
		return pageOther, f.getOnly(w, r, func() int { return f.serverMetadata(w) })
	case len(parts) == 2 && parts[0] == "health" && parts[1] == "live":
		return pageHealth, f.getOnly(w, r, func() int { return f.flag(w, "live", "") })
	case len(parts) == 2 && parts[0] == "health" && parts[1] == "ready":
		return pageHealth, f.getOnly(w, r, func() int { return f.flag(w, "ready", f.cause()) })
	case parts[0] == "models" && len(parts) > 1:
		return f.model(w, r, parts[1:], start)
	}
	return pageOther, f.fail(w, problemLost)
}

func (f *Front) model(w http.ResponseWriter, r *http.Request, parts []string, start time.Time) (page, int) {
	name, rest := parts[0], parts[1:]
	if name != f.cfg.Program {
		return pageOther, f.fail(w, &problem{http.StatusNotFound, "no_model", "no model " + name + " here, but " + f.cfg.Program})
	}
	if len(rest) >= 2 && rest[0] == "versions" {
		if current := f.seen.Load().model; rest[1] != current {
			return pageOther, f.fail(w, &problem{http.StatusNotFound, "no_version", "version " + rest[1] + " is not loaded, but " + current})
		}
		rest = rest[2:]
	}
	switch {
	case len(rest) == 0:
		return pageOther, f.getOnly(w, r, func() int { return f.modelMetadata(w) })
	case len(rest) == 1 && rest[0] == "ready":
		return pageHealth, f.getOnly(w, r, func() int { return f.flag(w, "ready", f.cause()) })
	case len(rest) == 1 && rest[0] == "infer":
		return pageInfer, f.infer(w, r, start)
	}
	return pageOther, f.fail(w, problemLost)
}

func (f *Front) getOnly(w http.ResponseWriter, r *http.Request, answer func() int) int {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return f.notAllowed(w, http.MethodGet)
	}
	return answer()
}

func (f *Front) flag(w http.ResponseWriter, name, cause string) int {
	if cause != "" {
		return f.fail(w, notReady(cause))
	}
	return f.json(w, object{name: true})
}

func (f *Front) serverMetadata(w http.ResponseWriter) int {
	return f.json(w, object{"name": "ds-runner", "version": "2", "extensions": []string{}})
}

func (f *Front) modelMetadata(w http.ResponseWriter) int {
	t := f.types.Load()
	versions := []string{}
	if v := f.seen.Load().model; v != "" {
		versions = append(versions, v)
	}
	return f.json(w, object{"name": f.cfg.Program, "platform": "ds-runner", "versions": versions,
		"inputs": describeTensors(t.takes), "outputs": describeTensors(t.gives)})
}

func describeTensors(fields []tensorField) []object {
	list := []object{}
	for _, field := range fields {
		list = append(list, object{"name": field.name, "datatype": field.datatype, "shape": []int{-1}})
	}
	return append(list, object{"name": eventTensor, "datatype": "BYTES", "shape": []int{-1}})
}

// infer scores the rows of tensors and answers with tensors. Rows without a prediction make the whole answer a 400 that names
// them, for the protocol has no place for them.
func (f *Front) infer(w http.ResponseWriter, r *http.Request, start time.Time) int {
	if r.Method != http.MethodPost {
		return f.notAllowed(w, http.MethodPost)
	}
	body, p := f.body(w, r)
	if p != nil {
		return f.fail(w, p)
	}
	t := f.types.Load()
	asked, p := readInference(body, t)
	if p != nil {
		return f.fail(w, p)
	}
	q := f.queue.request()
	q.body, q.rows = asked.rows(q.rows)
	if p := f.score(r, q, start); p != nil {
		return f.fail(w, p)
	}
	defer f.queue.release(q)
	outputs, p := asked.outputs(q.answers, t)
	if p != nil {
		return f.fail(w, p)
	}
	answer := object{"model_name": f.cfg.Program, "model_version": q.answers[0].model, "outputs": outputs}
	if asked.ID != "" {
		answer["id"] = asked.ID
	}
	return f.json(w, answer)
}
