//go:build faults

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// A bridge built for tests has one verb more: `ds-bridge steps` prints where DS_STEP can end it, a name a line.
func init() {
	if slices.Equal(os.Args[1:], []string{"steps"}) {
		fmt.Println(strings.Join(steps.Names(), "\n"))
		os.Exit(0)
	}
}
