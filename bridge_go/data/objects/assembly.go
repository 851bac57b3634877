package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/maphash"
)

// Ahead is how many parts may have come before the one that is awaited: as many are held in memory.
const Ahead = 8

// An Assembly puts the numbered parts of an upload into their order. It is what kinds of buckets are made with: they write a
// stream of bytes, and need not know of numbers, repetitions and hashes.
type Assembly struct {
	write func(ctx context.Context, data []byte) error
	held  map[int][]byte
	taken []uint64 // a checksum of each part that was written, to know it when it comes again
	seed  maphash.Seed
	sum   hash.Hash
	size  int64
	told  Announced
}

// NewAssembly makes one that hands bytes on in their order. A write that fails is tried again with the same bytes, when their part
// comes again.
func NewAssembly(told Announced, write func(ctx context.Context, data []byte) error) *Assembly {
	return &Assembly{write: write, held: map[int][]byte{}, seed: maphash.MakeSeed(), sum: sha256.New(), told: told}
}

// Size is how many bytes were written.
func (a *Assembly) Size() int64 { return a.size }

// Part implements [Upload].
func (a *Assembly) Part(ctx context.Context, number int, data []byte) error {
	awaited := len(a.taken) + 1
	switch {
	case number < 1:
		return badValue("part %d: parts are numbered from 1", number)
	case len(data) > PartBytes:
		return badValue("part %d has %d bytes, at most %d are taken at once", number, len(data), PartBytes)
	case number > awaited+Ahead:
		return badValue("part %d came before part %d: at most %d parts may come too early", number, awaited, Ahead)
	case number < awaited:
		if a.taken[number-1] != maphash.Bytes(a.seed, data) {
			return badValue("part %d came before with other bytes", number)
		}
	case number > awaited:
		a.held[number] = bytes.Clone(data)
	default:
		if err := a.take(ctx, data); err != nil {
			return err
		}
	}
	return a.drain(ctx)
}

func (a *Assembly) take(ctx context.Context, data []byte) error {
	if err := a.write(ctx, data); err != nil {
		return err
	}
	a.sum.Write(data)
	a.size += int64(len(data))
	a.taken = append(a.taken, maphash.Bytes(a.seed, data))
	return nil
}

// drain writes the parts that were waiting for others.
func (a *Assembly) drain(ctx context.Context) error {
	for {
		data, ok := a.held[len(a.taken)+1]
		if !ok {
			return nil
		}
		number := len(a.taken) + 1
		if err := a.take(ctx, data); err != nil {
			return err
		}
		delete(a.held, number)
	}
}

// Whole writes what is left, and says whether it is the object that its writer means: ErrDamaged if not.
func (a *Assembly) Whole(ctx context.Context, size int64, sha256 string) error {
	if err := a.drain(ctx); err != nil {
		return err
	}
	got := hex.EncodeToString(a.sum.Sum(nil))
	switch {
	case len(a.held) > 0:
		return fmt.Errorf("part %d has not come: %w", len(a.taken)+1, ErrDamaged)
	case a.size != size:
		return fmt.Errorf("%d bytes have come of %d: %w", a.size, size, ErrDamaged)
	case got != sha256:
		return fmt.Errorf("the sha256 of what has come is %s, not %s: %w", got, sha256, ErrDamaged)
	case a.told.Size >= 0 && a.told.Size != size, a.told.SHA256 != "" && a.told.SHA256 != sha256:
		return fmt.Errorf("it was begun as %d bytes with sha256 %s: %w", a.told.Size, a.told.SHA256, ErrDamaged)
	}
	return nil
}
