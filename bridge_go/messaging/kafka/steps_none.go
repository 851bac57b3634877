//go:build !faults

package kafka

import "github.com/twmb/franz-go/pkg/kgo"

var stepOptions []kgo.Opt
