// Command ds-bridge holds the messaging clients and the credentials of a program, and deals its events to Python workers.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"ds-runner.dev/ds-runner/bridge_go/app"
	"ds-runner.dev/ds-runner/bridge_go/program"

	_ "ds-runner.dev/ds-runner/bridge_go/data/kv/memory"
	_ "ds-runner.dev/ds-runner/bridge_go/data/kv/redis"
	_ "ds-runner.dev/ds-runner/bridge_go/data/kv/sqlite"
	_ "ds-runner.dev/ds-runner/bridge_go/data/objects/folder"
	_ "ds-runner.dev/ds-runner/bridge_go/data/objects/s3"
	_ "ds-runner.dev/ds-runner/bridge_go/data/sql/postgres"
	_ "ds-runner.dev/ds-runner/bridge_go/data/sql/sqlite"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/embedded"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/failover"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/file"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/http"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/kafka"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/memory"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/nats"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/postgres"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/redis"
)

// version is set by the linker.
var version = "dev"

// Exit codes, as `ds-bridge --help` tells them.
const (
	exitFailed  = 1 // something outside failed: a broker, a disk, a port
	exitMistake = 2 // program.yaml or the command line
)

type commands struct {
	Run     runCommand     `cmd:"" help:"Serve the commands of a program to its workers."`
	Check   checkCommand   `cmd:"" help:"Say whether program.yaml is sound, and where it is not."`
	Load    loadCommand    `cmd:"" help:"Measure an API that is there: answers a second, and how long each takes. Prints a JSON line a stage."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() {
	var cli commands
	parser := kong.Must(&cli,
		kong.Name("ds-bridge"),
		kong.Description("Exit codes: 0 done, 1 something outside failed, 2 a mistake in program.yaml or on the command line."),
		kong.UsageOnError(),
		kong.Exit(func(code int) { os.Exit(min(code, exitMistake)) }),
	)
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "ds-bridge: %v. See: ds-bridge --help\n", err)
		os.Exit(exitMistake)
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	var mistakes *program.Error
	if errors.As(err, &mistakes) || errors.Is(err, app.ErrMistake) {
		return exitMistake
	}
	return exitFailed
}

type runCommand struct {
	app.Options `embed:""`
	LogFormat   string     `enum:"text,json" default:"text" env:"DS_LOG_FORMAT" help:"text or json, on standard error."`
	LogLevel    slog.Level `default:"info" env:"DS_LOG_LEVEL" help:"debug, info, warn or error."`
}

func (r *runCommand) Run() error {
	sleepLonger()
	takeShare()
	leaveGarbage()
	// The first signal asks for a drain; a second one, or the parent's impatience, ends the process as signals do.
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	asked := make(chan struct{})
	go func() {
		<-stop
		signal.Stop(stop)
		close(asked)
	}()
	r.Options.Version = version
	r.Options.Log = logger(r.LogFormat, r.LogLevel)
	return app.Run(asked, r.Options)
}

func logger(format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

type checkCommand struct {
	Program string   `default:"program.yaml" help:"The program."`
	Env     string   `help:"Lay program.ENV.yaml over it."`
	Param   []string `sep:"none" placeholder:"NAME=VALUE" help:"A parameter of the model. May be repeated."`
}

func (c *checkCommand) Run() error {
	p, err := program.Load(c.Program, program.Options{Env: c.Env, Params: c.Param})
	if err != nil {
		return err
	}
	fmt.Printf("ok  %s: %d streams, %d commands\n", p.Name(), len(p.Spec.Streams), len(p.Spec.Commands))
	return nil
}

type versionCommand struct{}

func (versionCommand) Run() error {
	fmt.Println("ds-bridge", version)
	return nil
}
