package app

import (
	"errors"
	"log/slog"
	"path/filepath"
)

// ErrMistake marks what the user can mend on the command line.
var ErrMistake = errors.New("mistake")

// Options are the flags of `ds-bridge run`.
type Options struct {
	Program  string   `default:"program.yaml" env:"DS_PROGRAM" help:"The program."`
	Env      string   `env:"DS_ENV" help:"Lay program.ENV.yaml over it."`
	Param    []string `sep:"none" placeholder:"NAME=VALUE" help:"A parameter of the model. May be repeated."`
	Command  []string `sep:"none" placeholder:"NAME" help:"A command to serve: score-stream, serve-api, or one of your own of these kinds. May be repeated. All of the program's by default."`
	DataOnly bool     `help:"Serve no command: answer what is asked for data and control, and nothing else."`

	Listen         string `default:"tcp://127.0.0.1:7400" env:"DS_LISTEN" help:"Where workers dial: tcp://127.0.0.1:PORT or unix:///PATH. Port 0 is any."`
	TokenFile      string `env:"DS_TOKEN_FILE" help:"The secret that workers know. Made in the state folder by default."`
	State          string `default:".ds-runner" env:"DS_STATE" help:"Folder of the embedded store, positions, lock and discovery file."`
	HTTP           string `name:"http" env:"DS_HTTP" placeholder:"HOST:PORT" help:"Where serve-api listens, instead of program.yaml's host and port."`
	Metrics        string `default:"127.0.0.1:0" env:"DS_METRICS" help:"Where /metrics, /livez and /v2/repository listen. Loopback by default."`
	AdminTokenFile string `env:"DS_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"The secret that whoever loads versions there brings as a bearer token. Without it only this machine may."`
	Fsync          string `enum:"interval,always" default:"interval" env:"DS_FSYNC" help:"always: the embedded store survives power loss, at a fortieth of the rate."`

	Input     string   `placeholder:"URL" help:"Read the one command's input from here, such as file:///data/in.jsonl."`
	Output    string   `placeholder:"URL" help:"Write its output there."`
	Ledger    string   `placeholder:"FILE" help:"Write one JSON line an event with its fate there, instead of to any stream."`
	Only      []string `sep:"none" placeholder:"ID" help:"Score only this event of the input. May be repeated."`
	Tape      string   `placeholder:"FILE" help:"Play this tape instead of reading a stream, with --ledger."`
	Speed     float64  `default:"0" help:"Of a tape: 1 as it was recorded, 10 ten times as fast, 0 as fast as it goes."`
	ExitAtEnd bool     `help:"End when a bounded input is settled to its end."`
	Summary   string   `placeholder:"FILE" help:"Write counts, rate, CPU time and latencies there as JSON at the end."`

	Version string       `kong:"-"`
	Log     *slog.Logger `kong:"-"`
}

// stateDir is the state folder: relative to the program's folder, like all paths that a project names.
func (o Options) stateDir() string {
	if filepath.IsAbs(o.State) {
		return o.State
	}
	return filepath.Join(filepath.Dir(o.Program), o.State)
}
