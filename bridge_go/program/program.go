// Package program reads program.yaml: what a program is made of, read the same by the bridge, by Python and by a cluster.
//
// [Load] turns the file (with an environment's file and parameters over it) into a resolved [Program], or into one error
// that lists every problem with file, line, column and path. In this order: compose (bytes to a tree with places), merge
// (overlay and parameters), structure (keys and values by program.schema.json, which pyrunner/program generates), secrets
// (references), resolve (defaults and inferred values), names (whether all of it fits together). pyrunner/program does the
// same in Python; tests/vectors/program holds both to the same verdicts and the same texts.
package program

import "time"

// A Program is resolved: every value that a command of its kind has is set.
type Program struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`

	folder  string
	origins map[string]string
	places  map[string]Place
	plain   any
}

// Metadata names a program in metrics, logs, the model store and the cluster.
type Metadata struct {
	Name string `json:"name"`
}

// Spec is what a program is made of.
type Spec struct {
	Model       string                `json:"model"`
	Params      map[string]any        `json:"params"`
	ModelStore  string                `json:"model_store"`
	Connections map[string]Connection `json:"connections"`
	Datasets    map[string]Dataset    `json:"datasets"`
	Streams     map[string]Stream     `json:"streams"`
	Commands    []Command             `json:"commands"`
}

// A Connection as written: secrets are references, so it may be printed. [Program.Reveal] reads what they name.
type Connection struct {
	URL      string             `json:"url"`
	Settings map[string]Setting `json:"settings"`
}

// A Dataset is bounded: a file or folder, relative to [Program.Folder], or a query that Python puts to a connection.
type Dataset struct {
	Path        string             `json:"path"`
	Connection  string             `json:"connection"`
	Query       string             `json:"query"`
	Params      map[string]Setting `json:"params"`
	Description string             `json:"description"`
}

// A Stream is a topic of a connection.
type Stream struct {
	Connection  string `json:"connection"`
	Topic       string `json:"topic"`
	Description string `json:"description"`
	DeadLetter  string `json:"dead_letter"`
	Format      string `json:"format"` // json when empty

	// Of formats behind a schema registry; SchemaFile is relative to [Program.Folder].
	Registry   string `json:"registry"`
	Subject    string `json:"subject"`
	SchemaFile string `json:"schema_file"`
	Register   bool   `json:"register_schema"`
	Message    string `json:"message"` // of results, of protobuf
}

// A Command is one entry point. What its kind does not take is zero.
type Command struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Input      string `json:"input"`
	Output     string `json:"output"`
	Validation string `json:"validation"`
	Rejected   string `json:"rejected"`
	DeadLetter string `json:"dead_letter"`

	Workers     Workers  `json:"workers"`
	Standby     int      `json:"standby"`     // further workers, held until another is lost
	Concurrency int      `json:"concurrency"` // batches that a worker scores at a time
	Batch       Batch    `json:"batch"`
	Order       string   `json:"order"` // key, partition or none
	Deadline    Duration `json:"deadline"`
	Attempts    int      `json:"attempts"`
	Breaker     Breaker  `json:"breaker"`
	Guarantee   string   `json:"guarantee"`

	Shadow          Setting     `json:"shadow"` // version or alias; none when empty
	ShadowWorkers   int         `json:"shadow_workers"`
	ShadowQueue     ShadowQueue `json:"shadow_queue"`
	ShadowTolerance float64     `json:"shadow_tolerance"`

	Versions    map[string]int `json:"versions"` // version or alias to weight; none: latest alone
	RouteHeader string         `json:"route_header"`
	Swap        string         `json:"swap"` // beside or in-place

	Models map[string]string `json:"models"` // further models that are served: name to program.yaml

	RequestLog       string          `json:"request_log"` // stream; none when empty
	RequestLogSample float64         `json:"request_log_sample"`
	RequestLogQueue  RequestLogQueue `json:"request_log_queue"`

	Host           string   `json:"host"`
	Port           int      `json:"port"`
	GRPCPort       *int     `json:"grpc_port"` // no gRPC when nil
	MaxBody        Size     `json:"max_body"`
	Queue          Queue    `json:"queue"`
	RequestTimeout Duration `json:"request_timeout"`
	DrainDelay     Duration `json:"drain_delay"`
	TLS            *TLS     `json:"tls"`
	Tokens         string   `json:"tokens"` // a file; nobody is asked when empty

	Deploy map[string]any `json:"deploy"`
}

// Batch bounds one call of the model.
type Batch struct {
	Events Events   `json:"events"`
	Bytes  AutoSize `json:"bytes"`
	Linger Duration `json:"linger"`
}

// What auto is: of events, and of bytes where they are auto for so many events.
const (
	firstEvents, mostEvents = 256, 4096
	bytesEach               = 1 << 10
	firstBytes, mostBytes   = 256 << 10, 4 << 20
)

// Bounds are the most events and bytes of one call, of those that may grow the first.
func (b Batch) Bounds() (events, bytes int) {
	if events = int(b.Events); events == 0 {
		events = firstEvents
	}
	return events, b.bytes(events)
}

// Most is what the bounds may grow to; nothing where a number of events is told.
func (b Batch) Most() (events, bytes int) {
	if b.Events != 0 {
		return 0, 0
	}
	return mostEvents, b.bytes(mostEvents)
}

func (b Batch) bytes(events int) int {
	if b.Bytes != 0 {
		return int(b.Bytes)
	}
	return min(max(events*bytesEach, firstBytes), mostBytes)
}

// Breaker pauses an input after Run failed events in a row, for Hold.
type Breaker struct {
	Run  int      `json:"run"`
	Hold Duration `json:"hold"`
}

// Queue bounds what waits in front of the model.
type Queue struct {
	Rows  int  `json:"rows"`
	Bytes Size `json:"bytes"`
}

// TLS names the files of a certificate and its key, relative to [Program.Folder].
type TLS struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// ShadowQueue bounds what waits for a shadow.
type ShadowQueue struct {
	Events int  `json:"events"`
	Bytes  Size `json:"bytes"`
}

// RequestLogQueue bounds what waits for the stream of the request log.
type RequestLogQueue struct {
	Requests int  `json:"requests"`
	Bytes    Size `json:"bytes"`
}

// Name is the program's name.
func (p *Program) Name() string { return p.Metadata.Name }

// Folder is where program.yaml lies; paths of datasets start from it.
func (p *Program) Folder() string { return p.folder }

// Origins tells who gave each value, by path: a place in a file, --param, default, or "inferred from ...".
func (p *Program) Origins() map[string]string { return p.origins }

// Plain is the resolved program as plain maps, lists and scalars. It holds references, never secrets.
func (p *Program) Plain() any { return p.plain }

// Command is the command of that name; stream-score is score-stream.
func (p *Program) Command(name string) (Command, bool) {
	for _, wanted := range []string{name, kindOf(name, "")} {
		for _, c := range p.Spec.Commands {
			if c.Name == wanted {
				return c, true
			}
		}
	}
	return Command{}, false
}

// Stream is the stream of that name.
func (p *Program) Stream(name string) (Stream, bool) {
	s, ok := p.Spec.Streams[name]
	return s, ok
}

// Dataset is the dataset of that name.
func (p *Program) Dataset(name string) (Dataset, bool) {
	d, ok := p.Spec.Datasets[name]
	return d, ok
}

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }
