package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/app"
	"ds-runner.dev/ds-runner/bridge_go/load"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

type loadCommand struct {
	URL         string        `arg:"" help:"Where the API is, such as http://127.0.0.1:8080/predict."`
	Rows        string        `required:"" placeholder:"FILE" help:"Bodies to send in turns, one JSON a line."`
	TokenFile   string        `placeholder:"FILE" help:"Bearer tokens, one a line; the first is sent."`
	Connections int           `default:"64" help:"Clients that ask at once."`
	Length      time.Duration `default:"45s" help:"How long all of it takes."`
	Patience    time.Duration `default:"30s" help:"How long to wait for an answer."`
	Seed        uint64        `default:"1" help:"Of the times at which requests are due."`
}

// A told line is one of the output: a stage that begins, or what came of it.
type told struct {
	Stage       string `json:"stage"`
	Connections int    `json:"connections"`
	Begins      bool   `json:"begins,omitempty"`
	*load.Report
}

func (c *loadCommand) Run() error {
	t, err := c.target()
	if err != nil {
		return fmt.Errorf("%w: %w", app.ErrMistake, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	out := plainjson.Encoder(os.Stdout)
	return load.Run(ctx, t, c.Length, load.Stages(c.Connections),
		func(s load.Stage) { _ = out.Encode(told{Stage: s.Name, Connections: s.Connections, Begins: true}) },
		func(s load.Stage, r *load.Report) {
			_ = out.Encode(told{Stage: s.Name, Connections: s.Connections, Report: r})
		})
}

func (c *loadCommand) target() (load.Target, error) {
	at, err := url.Parse(c.URL)
	if err != nil {
		return load.Target{}, err
	}
	if (at.Scheme != "http" && at.Scheme != "https") || at.Port() == "" {
		return load.Target{}, fmt.Errorf("%s: write http://HOST:PORT/predict", c.URL)
	}
	t := load.Target{URL: at, Connections: max(1, c.Connections), Patience: c.Patience, Seed: c.Seed}
	if t.Rows, err = lines(c.Rows); err == nil && len(t.Rows) == 0 {
		err = fmt.Errorf("%s has no rows", c.Rows)
	}
	if err == nil && c.TokenFile != "" {
		t.Token, err = firstToken(c.TokenFile)
	}
	return t, err
}

// lines are those of a file that are not blank.
func lines(path string) (found [][]byte, err error) {
	data, err := os.ReadFile(path)
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			found = append(found, line)
		}
	}
	return found, err
}

func firstToken(path string) (string, error) {
	all, err := lines(path)
	for _, line := range all {
		if !strings.HasPrefix(string(line), "#") {
			return string(line), nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%s has no token", path)
	}
	return "", err
}
