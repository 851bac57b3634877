package wire

// A Lease names one delivery of one batch. A result counts only while its lease is open.
type Lease struct{ Nonce, Batch, Epoch uint64 }

func (l Lease) append(b []byte) []byte { return appendUints(b, l.Nonce, l.Batch, l.Epoch) }

func (l *Lease) decode(f *fields) {
	l.Nonce = f.uint("nonce")
	l.Batch = f.uint("batch")
	l.Epoch = f.uint("epoch")
}
