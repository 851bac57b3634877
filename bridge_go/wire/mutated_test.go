package wire_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

const (
	millionFrames = 1_000_000
	mutationSeed  = 20131001
)

// A million frames that are random, or vectors with a few bytes changed: each is a message that survives a round trip, or
// refused with a code, and none of them leaves anything behind.
func TestT24AMillionMutatedFramesAreMessagesOrRefused(t *testing.T) {
	seeds := seedBodies(t)
	random := rand.New(rand.NewPCG(mutationSeed, 0))
	before := reachable()
	taken := 0
	for range millionFrames {
		frame := mutated(random, seeds)
		m, err := wire.Decode(frame, uint8(random.IntN(wire.Minor+2)))
		if err != nil {
			var broken *wire.Error
			if !errors.As(err, &broken) {
				t.Fatalf("% x: the error is %#v", frame, err)
			}
			continue
		}
		taken++
		if _, skipped := m.(*wire.Skipped); !skipped {
			roundTrip(t, m)
		}
	}
	t.Logf("seed %d: %d of %d were taken", mutationSeed, taken, millionFrames)
	if taken < millionFrames/1000 {
		t.Error("the mutations are too wild to prove anything")
	}
	if more := int64(reachable()) - int64(before); more > 1<<20 {
		t.Errorf("%d bytes are left behind", more)
	}
}

func seedBodies(t *testing.T) [][]byte {
	t.Helper()
	var bodies [][]byte
	for _, v := range append(wiretest.Valid(t), wiretest.Invalid(t)...) {
		if body := v.Body(t); len(body) < 1024 { // the larger ones have tests of their own
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func mutated(random *rand.Rand, seeds [][]byte) []byte {
	if random.IntN(5) == 0 {
		return append([]byte{0x90 | byte(1+random.IntN(15)), byte(random.IntN(17))}, noise(random, random.IntN(60))...)
	}
	frame := bytes.Clone(seeds[random.IntN(len(seeds))])
	for range 1 + random.IntN(3) {
		frame = mutate(random, frame)
	}
	return frame
}

func mutate(random *rand.Rand, frame []byte) []byte {
	at := random.IntN(len(frame) + 1)
	part := func(longest int) []byte { return frame[at:min(len(frame), at+1+random.IntN(longest))] }
	switch kind := random.IntN(5); {
	case kind == 0 && at < len(frame):
		frame[at] = byte(random.Uint32())
	case kind == 1 && at < len(frame):
		frame[at] ^= 1 << random.IntN(8)
	case kind == 2:
		frame = slices.Insert(frame, at, noise(random, 1+random.IntN(4))...)
	case kind == 3:
		frame = slices.Insert(frame, at, bytes.Clone(part(40))...)
	default:
		frame = slices.Delete(frame, at, at+len(part(8)))
	}
	return frame
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}
