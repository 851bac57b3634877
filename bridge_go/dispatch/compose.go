package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// A Composer is an [Outlet] that can leave the writing to a transaction.
type Composer interface {
	Outlet
	// Transact has fates stored together with the positions behind them, all or nothing. It retries what may pass, until
	// the context ends. Refused fates are those that will never be stored as they are; then nothing was stored. Errors are
	// those of messaging.Transactor.
	Transact(ctx context.Context, t messaging.Transactor, fates []Fate, upTo []messaging.Position) (refused []Refusal, err error)
}

// Transact implements [Composer].
func (o *StreamOutlet) Transact(ctx context.Context, t messaging.Transactor, fates []Fate, upTo []messaging.Position) ([]Refusal, error) {
	misfits := refusals{}
	if err := o.encode(ctx, fates, misfits); err != nil || len(misfits) > 0 {
		return misfits.sorted(), err
	}
	for pause := o.first; ; pause = min(2*pause, 10*time.Second) {
		writes, owners, refused := o.compose(fates)
		if len(refused) > 0 {
			return refused.sorted(), nil
		}
		err := t.Transact(ctx, writes, upTo)
		var partial *messaging.WriteError
		if err == nil || !errors.As(err, &partial) {
			o.settledForms(err, fates)
			return nil, err
		}
		if refused, again := o.judge(partial, fates, owners); len(refused) > 0 {
			return refused.sorted(), nil
		} else if again {
			continue
		}
		o.c.Counts.Retries.Add(1)
		o.c.Log.Warn("transaction failed, trying again", "fates", len(fates), "error", err)
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return nil, err
		}
	}
}

// compose makes the writes of fates, and tells for each record, counted through all writes, whose it is.
func (o *StreamOutlet) compose(fates []Fate) (writes []messaging.Write, owners []int, refused refusals) {
	refused = refusals{}
	o.begin()
	for i := range fates {
		if fates[i].Kind == Scored {
			o.outputs(i, &fates[i], refused)
		}
	}
	for _, q := range o.made.queues {
		if records := q.finished(); len(records) > 0 {
			writes = append(writes, messaging.Write{Topic: q.to.Topic, Records: records})
			owners = append(owners, q.owners...)
		}
	}
	for kind, to := range map[FateKind]Target{Rejected: o.c.Rejected, Dead: o.c.Dead} {
		if to.Sink == nil {
			continue
		}
		w := messaging.Write{Topic: to.Topic}
		for i := range fates {
			if how := o.forms[fates[i].ID]; fates[i].Kind == kind && how < dropped {
				w.Records = append(w.Records, o.letter(to, &fates[i], how))
				owners = append(owners, i)
			}
		}
		if len(w.Records) > 0 {
			writes = append(writes, w)
			steps.At(steps.DeadLettering)
		}
	}
	return writes, owners, refused
}

// judge sorts the permanent failures of a transaction: outputs are their fates' refusals; letters are tried again with less
// in them, at once.
func (o *StreamOutlet) judge(e *messaging.WriteError, fates []Fate, owners []int) (refused refusals, again bool) {
	refused = refusals{}
	for _, f := range e.Failed {
		if !f.Permanent {
			continue
		}
		i := owners[f.Index]
		if fates[i].Kind == Scored {
			o.c.Counts.Refusals.Add(1)
			refused.add(i, "output_refused", "the transaction refused an output: "+f.Err.Error())
			continue
		}
		again = o.reduced(&fates[i]) || again
	}
	return refused, again
}

// reduced has a letter written with less in it the next time; false when there is no smaller form and it has to wait.
func (o *StreamOutlet) reduced(f *Fate) bool {
	if o.forms == nil {
		o.forms = map[delivery.Ticket]form{}
	}
	switch how := o.forms[f.ID]; {
	case how < withoutPayload:
		o.forms[f.ID] = how + 1
	case o.c.DropDead:
		o.forms[f.ID] = dropped
		o.c.Log.Error("dead letter dropped: the sink refuses it in every form", "event", string(appendSource(nil, f)))
	default:
		return false
	}
	return true
}

// settledForms counts the letters that were stored with less in them, and forgets them either way: what was not stored is
// composed anew.
func (o *StreamOutlet) settledForms(err error, fates []Fate) {
	if len(o.forms) == 0 {
		return
	}
	for i := range fates {
		how, ok := o.forms[fates[i].ID]
		if !ok {
			continue
		}
		delete(o.forms, fates[i].ID)
		if err != nil {
			continue
		}
		switch how {
		case withoutHeaders:
			o.c.Counts.WithoutHeaders.Add(1)
		case withoutPayload:
			o.c.Counts.WithoutPayload.Add(1)
		case dropped:
			o.c.Counts.Dropped.Add(1)
		}
	}
}
