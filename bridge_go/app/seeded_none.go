//go:build !faults

package app

import (
	"context"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// The bugs of seeded.go are not in a bridge that is built without the tag faults.

func seededSource(s messaging.Source) messaging.Source { return s }

func seededOutlet(o dispatch.Outlet) dispatch.Outlet { return o }

func seededSink(s messaging.Sink) messaging.Sink { return s }

func seededFates(w messaging.FateWriter) messaging.FateWriter { return w }

func seededDrain(f *front.Front) func(context.Context) error { return f.Drain }
