package nats

import "sync"

// The server tells a reader that it pinned by an identifier, which every pull has to name. It is noted in the state folder, so that a
// bridge that was killed and started again takes its partitions back at once and not after takeover.

// pins are those that sources of this process hold.
var pins sync.Map

type savedPin struct{ Pin string }

// notePin takes another pin in place of the present one; empty for none.
func (p *part) notePin(old, pin string) {
	pins.Delete(old)
	if pin != "" {
		pins.Store(pin, true)
	}
	if p.s.c.options.StateDir == "" {
		return
	}
	if err := p.s.c.pins.Save(p.s.t.stream, p.consumer, savedPin{pin}); err != nil { // then a restart waits for takeover
		p.s.c.options.Log.Warn("a pin was not noted", "error", err)
	}
}

// diedWith says whether a pin was that of this bridge before it was started again: nobody else has its state folder.
func (p *part) diedWith(pin string) bool {
	if _, lives := pins.Load(pin); lives || pin == "" || p.s.c.options.StateDir == "" {
		return false
	}
	var old savedPin
	found, err := p.s.c.pins.Load(p.s.t.stream, p.consumer, &old)
	return err == nil && found && old.Pin == pin
}
