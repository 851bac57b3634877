package front

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// The Open Inference Protocol, version 2, over HTTP; grpc.go has it over gRPC. One model, named as the program; its version is the
// one that answers now. Errors are {"error": ...}.
//
//	GET  /v2                                     the server
//	GET  /v2/health/live, /v2/health/ready
//	GET  /v2/models/{m}[/versions/{v}]           names and types of tensors
//	GET  /v2/models/{m}[/versions/{v}]/ready
//	POST /v2/models/{m}[/versions/{v}]/infer     tensors as JSON, or as JSON and binary tensor data behind it
func (f *Front) openInference(w http.ResponseWriter, r *http.Request, start time.Time) (page, int) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")[1:]
	switch {
	case len(parts) == 0:
		return pageOther, f.getOnly(w, r, func() int { return f.serverMetadata(w) })
	case len(parts) == 2 && parts[0] == "health" && parts[1] == "live":
		return pageHealth, f.getOnly(w, r, func() int { return f.flag(w, "live", "") })
	case len(parts) == 2 && parts[0] == "health" && parts[1] == "ready":
		return pageHealth, f.getOnly(w, r, func() int { return f.flag(w, "ready", f.serverCause()) })
	case parts[0] == "models" && len(parts) > 1:
		return f.model(w, r, parts[1:], start)
	}
	return pageOther, f.fail(w, problemLost)
}

func (f *Front) model(w http.ResponseWriter, r *http.Request, parts []string, start time.Time) (page, int) {
	name, rest, version := parts[0], parts[1:], ""
	if len(rest) >= 2 && rest[0] == "versions" {
		version, rest = rest[1], rest[2:]
	}
	if p := f.serves(name, version); p != nil {
		return pageOther, f.fail(w, p)
	}
	switch {
	case len(rest) == 0:
		return pageOther, f.getOnly(w, r, func() int { return f.modelMetadata(w, version) })
	case len(rest) == 1 && rest[0] == "ready":
		return pageHealth, f.getOnly(w, r, func() int { return f.flag(w, "ready", f.causeOf(version)) })
	case len(rest) == 1 && rest[0] == "infer":
		return pageInfer, f.infer(w, r, version, start)
	}
	return pageOther, f.fail(w, problemLost)
}

// serves says whether a model, and its version if one is named, answer here.
func (f *Front) serves(name, version string) *problem {
	if name != f.cfg.Program {
		return f.noModel(name)
	}
	if t := f.routing.Load(); version != "" && t.named(version) == nil {
		return noVersion(version, t)
	}
	return nil
}

// typesOf are those of the version that is named, or else of the one that most requests go to.
func (f *Front) typesOf(version string) *types {
	if version != "" {
		if lane := f.routing.Load().named(version); lane != nil {
			return lane.types.Load()
		}
	}
	return f.types.Load()
}

// causeOf is why the version that is named, or else any, cannot answer.
func (f *Front) causeOf(version string) string {
	if version != "" && !f.draining.Load() {
		if lane := f.routing.Load().named(version); lane != nil {
			return lane.Cause()
		}
	}
	return f.cause()
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

// Of the server's metadata, over HTTP and gRPC.
const (
	serverName      = "ds-runner"
	protocolVersion = "2"
)

var extensions = []string{"binary_tensor_data"}

func (f *Front) serverMetadata(w http.ResponseWriter) int {
	return f.json(w, object{"name": serverName, "version": protocolVersion, "extensions": extensions})
}

func (f *Front) modelMetadata(w http.ResponseWriter, version string) int {
	t := f.typesOf(version)
	return f.json(w, object{"name": f.cfg.Program, "platform": serverName, "versions": f.versions(),
		"inputs": describeTensors(t.takes), "outputs": describeTensors(t.gives)})
}

// versions are those of the model that answer now.
func (f *Front) versions() []string {
	versions := []string{}
	f.lanes(func(l *Lane) {
		if v := l.seen.Load().model; v != "" {
			versions = append(versions, v)
		}
	})
	return versions
}

// tensorNames are the tensors of an event: its fields, a mark of null beside each that may be null, and whole events.
func tensorNames(fields []tensorField, each func(name, datatype string)) {
	for _, field := range fields {
		each(field.name, field.datatype)
		if field.nullable {
			each(field.name+validSuffix, "BOOL")
		}
	}
	if fieldNamed(fields, eventTensor) == nil {
		each(eventTensor, "BYTES")
	}
}

func describeTensors(fields []tensorField) []object {
	list := []object{}
	tensorNames(fields, func(name, datatype string) {
		list = append(list, object{"name": name, "datatype": datatype, "shape": []int{-1}})
	})
	return list
}

// infer scores the rows of tensors and answers with tensors.
func (f *Front) infer(w http.ResponseWriter, r *http.Request, version string, start time.Time) int {
	if r.Method != http.MethodPost {
		return f.notAllowed(w, http.MethodPost)
	}
	body, p := f.body(w, r)
	if p != nil {
		return f.fail(w, p)
	}
	asked, p := readInference(body, r.Header[inferenceHeader])
	if p != nil {
		return f.fail(w, p)
	}
	outputs, model, p := f.inferred(r, version, asked, start)
	if p != nil {
		return f.fail(w, p)
	}
	if model != "" {
		w.Header()["X-Model-Version"] = []string{model}
	}
	return f.sendInference(w, asked.id, model, outputs)
}

// inferred has the rows of an inference scored, and makes the tensors of its answer; model is the version that answered.
func (f *Front) inferred(r *http.Request, version string, asked *inference, start time.Time) (outputs []output, model string, p *problem) {
	planned := f.typesOf(version)
	if p := asked.plan(planned); p != nil {
		return nil, "", p
	}
	if asked.n > f.cfg.Rows {
		return nil, "", tooManyRows(f.cfg.Rows, f.cfg.Bytes)
	}
	q := f.queue.request()
	q.version = version
	if p := f.fill(q, asked); p != nil {
		f.queue.release(q)
		return nil, "", p
	}
	if asked.timeout > 0 {
		r.Header[timeoutHeader] = append(slices.Clip(r.Header[timeoutHeader]), asked.timeout.String()) // the shortest counts
	}
	if p := f.score(r, q, start); p != nil {
		return nil, "", p
	}
	defer f.queue.release(q)
	if answered := q.lane.types.Load(); answered != planned {
		if p := asked.planOutputs(answered); p != nil { // the version that was drawn answers with other fields
			return nil, "", p
		}
	}
	outputs, p = asked.outputs(q.answers)
	return outputs, modelOf(q.answers), p
}

// fill makes the events of an inference. While they are made they count against the budget of the whole front, and after that as a
// part of the queue.
func (f *Front) fill(q *request, asked *inference) (p *problem) {
	paid := 0
	defer func() { f.budget.give(paid) }()
	q.body, q.rows, p = asked.rows(q.rows, f.cfg.Bytes, func(bytes int) bool {
		more := bytes - paid
		if more > 0 && !f.budget.take(more) {
			return false
		}
		paid += max(0, more)
		return true
	})
	return p
}

// modelOf is the version that answered; a row that no worker has seen does not know it.
func modelOf(answers []answer) string {
	for i := range answers {
		if answers[i].model != "" {
			return answers[i].model
		}
	}
	return ""
}

func (f *Front) json(w http.ResponseWriter, value any) int {
	data, err := plainjson.Marshal(value)
	if err != nil {
		return f.fail(w, &problem{http.StatusInternalServerError, "bad_output", "the model's output is not JSON: " + err.Error()})
	}
	b := takeBuffer()
	defer b.put()
	b.data = append(b.data, data...)
	return b.send(w, http.StatusOK)
}
