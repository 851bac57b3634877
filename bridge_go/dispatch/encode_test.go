package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// An encoder puts a result into brackets, and counts how often it was asked.
type encoder struct{ asked int }

func (e *encoder) encode(_ context.Context, value []byte) ([]byte, error) {
	e.asked++
	if string(value) == "misfit" {
		return nil, errors.New("it does not fit")
	}
	return fmt.Appendf(nil, "<%s>", value), nil
}

// A till stores transactions, of which the first fails.
type till struct {
	down   int
	values []string
}

func (t *till) Transact(_ context.Context, writes []messaging.Write, _ []messaging.Position) error {
	if t.down > 0 {
		t.down--
		return &messaging.WriteError{Failed: []messaging.WriteFailure{{Index: 0, Err: errors.New("timeout")}}}
	}
	for _, w := range writes {
		for _, r := range w.Records {
			t.values = append(t.values, w.Topic+" "+string(r.Value))
		}
	}
	return nil
}

func encoded(by *encoder, fates messaging.FateWriter) (*dispatch.StreamOutlet, *shelf, *shelf) {
	main, letters := &shelf{down: 1}, &shelf{}
	c := dispatch.StreamConfig{
		Main: dispatch.Target{Stream: "estimates", Topic: "estimates", Sink: main, Encode: by.encode},
		Dead: dispatch.Target{Stream: "departures.dead", Topic: "dead", Sink: letters},
	}
	if fates != nil {
		c.Fates = fates
	}
	return dispatch.NewStreamOutlet(c), main, letters
}

// original is a dead letter whose event was decoded.
func original(offset int64) dispatch.Fate {
	f := dead(offset)
	was := []byte("the bytes")
	f.Record.Original = &was
	return f
}

func wantRefused(t *testing.T, refused []dispatch.Refusal, err error) {
	t.Helper()
	if err != nil || len(refused) != 1 || refused[0].Index != 1 || refused[0].Code != "output_refused" || refused[0].Reason != "estimates: it does not fit" {
		t.Errorf("%+v, %v", refused, err)
	}
}

func TestResultsAreEncodedOnceAndNothingOfAMisfitIsStored(t *testing.T) {
	by := &encoder{}
	o, main, letters := encoded(by, nil)
	fates := []dispatch.Fate{scored(1, "a", "b"), scored(2, "c", "misfit"), original(3), scored(4, "d")}
	refused, err := o.Settle(t.Context(), fates)
	wantRefused(t, refused, err)
	if got := fmt.Sprint(main.values(), letters.values()); got != "[<a> <b> <d>] [the bytes]" {
		t.Error(got)
	}
	if by.asked != 5 {
		t.Errorf("encoded %d times", by.asked)
	}
	if got := string(fates[0].Outputs[0]); got != "a" {
		t.Errorf("others see the result as %s", got)
	}
}

func TestATransactionWithAMisfitStoresNothingAndTheOthersAreNotEncodedAgain(t *testing.T) {
	by := &encoder{}
	o, _, _ := encoded(by, nil)
	fates := []dispatch.Fate{scored(1, "a"), scored(2, "misfit"), original(3)}
	to := &till{down: 1}
	refused, err := o.Transact(t.Context(), to, fates, nil)
	wantRefused(t, refused, err)
	if to.values != nil || to.down != 1 {
		t.Errorf("%+v", to)
	}
	fates[1] = original(2)
	if refused, err = o.Transact(t.Context(), to, fates, nil); err != nil || refused != nil {
		t.Errorf("%+v, %v", refused, err)
	}
	if got := fmt.Sprint(to.values); got != "[estimates <a> dead the bytes dead the bytes]" {
		t.Error(got)
	}
	if by.asked != 2 {
		t.Errorf("encoded %d times", by.asked)
	}
}

func TestWholeFatesAreEncoded(t *testing.T) {
	by := &encoder{}
	v := newVault()
	o, _, _ := encoded(by, v)
	refused, err := o.Settle(t.Context(), []dispatch.Fate{scored(1, "a"), scored(2, "misfit"), original(3)})
	wantRefused(t, refused, err)
	var values []string
	for _, id := range v.order {
		for _, r := range v.fates[id] {
			values = append(values, r.Topic+" "+string(r.Value))
		}
	}
	if got := fmt.Sprint(values); got != "[estimates <a> dead the bytes]" {
		t.Error(got)
	}
}

func TestAnEncoderThatWaitsEndsWithTheContext(t *testing.T) {
	o := dispatch.NewStreamOutlet(dispatch.StreamConfig{Main: dispatch.Target{Stream: "estimates", Sink: &shelf{},
		Encode: func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if refused, err := o.Settle(ctx, []dispatch.Fate{scored(1, "a")}); !errors.Is(err, context.Canceled) || refused != nil {
		t.Errorf("%+v, %v", refused, err)
	}
}
