//go:build faults

package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ds-runner.dev/ds-runner/bridge_go/steps"
)

var stepOptions = []kgo.Opt{kgo.WithHooks(transactionSent{})}

// transactionSent comes to its step when the end of a transaction has left for the broker, which may carry it out or not.
type transactionSent struct{}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (transactionSent) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == (&kmsg.EndTxnRequest{}).Key() {
		steps.At(steps.TransactionSent)
	}
}
