package columns

import "hash/maphash"

// A dictionary gives texts numbers, in the order in which they come. The zero value is empty.
type dictionary struct {
	slots   []int32 // number plus one, at the text's hash or behind it; a power of two, at most half full
	offsets []int32 // one more than texts
	text    []byte
}

func (d *dictionary) len() int { return max(len(d.offsets), 1) - 1 }

func (d *dictionary) at(n int) []byte { return d.text[d.offsets[n]:d.offsets[n+1]] }

// find is the number of a text.
func (d *dictionary) find(text []byte) (int, bool) {
	if len(d.slots) == 0 {
		return 0, false
	}
	for at := hash(text); ; at++ {
		n := int(d.slots[at&uint64(len(d.slots)-1)]) - 1
		if n < 0 {
			return 0, false
		}
		if string(d.at(n)) == string(text) {
			return n, true
		}
	}
}

// add gives a text that is not there the next number.
func (d *dictionary) add(text []byte) int {
	n := d.len()
	if n == 0 {
		d.offsets = append(d.offsets[:0], 0)
	}
	d.text = append(d.text, text...)
	d.offsets = append(d.offsets, int32(len(d.text)))
	if 2*(n+1) > len(d.slots) {
		d.spread()
	} else {
		d.slots[d.free(text)] = int32(n + 1)
	}
	return n
}

// free is the slot for a text that is not there.
func (d *dictionary) free(text []byte) uint64 {
	for at := hash(text); ; at++ {
		if slot := at & uint64(len(d.slots)-1); d.slots[slot] == 0 {
			return slot
		}
	}
}

// spread makes room for twice as many.
func (d *dictionary) spread() {
	d.slots = make([]int32, max(2*len(d.slots), 32))
	for n := range d.len() {
		d.slots[d.free(d.at(n))] = int32(n + 1)
	}
}

// truncate takes back all but the first n: in the order in which the others came, so that none is missed behind a slot that is free
// again.
func (d *dictionary) truncate(n int) {
	for last := d.len() - 1; last >= n; last-- {
		at := hash(d.at(last))
		for d.slots[at&uint64(len(d.slots)-1)] != int32(last+1) {
			at++
		}
		d.slots[at&uint64(len(d.slots)-1)] = 0
		d.text = d.text[:d.offsets[last]]
		d.offsets = d.offsets[:last+1]
	}
}

func (d *dictionary) clear() {
	if d.len() > 0 {
		clear(d.slots)
		d.offsets, d.text = d.offsets[:1], d.text[:0]
	}
}

// seed keeps whoever writes events from choosing texts with one hash.
var seed = maphash.MakeSeed()

func hash(text []byte) uint64 { return maphash.Bytes(seed, text) }
