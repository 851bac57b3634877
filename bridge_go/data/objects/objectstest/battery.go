// Package objectstest is the battery that every kind of bucket passes.
package objectstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	atomics "sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

// A Harness describes a kind of bucket to the battery.
type Harness struct {
	// Open opens the same bucket, empty at first, each time it is called by one test. The battery closes it.
	Open func(t *testing.T) objects.Bucket
	// Leftovers is how many unfinished uploads the bucket holds.
	Leftovers func(t *testing.T) int
}

const patience = 2 * time.Minute

// Run is the battery.
func Run(t *testing.T, h Harness) {
	for _, part := range []struct {
		name string
		test func(*bench)
	}{
		{"what was put is read, with its size and hash", whole},
		{"an empty object is one", empty},
		{"bytes are read by range", ranges},
		{"an object of many parts is the same as its bytes", large},
		{"a hash that is not announced is compared all the same", unannounced},
		{"parts come in any order, and again", disordered},
		{"parts that are missing, changed or far ahead are refused", wrongParts},
		{"a wrong size or hash stores nothing", damaged},
		{"what is not as it was announced stores nothing", otherThanAnnounced},
		{"an upload that is given up leaves nothing", aborted},
		{"readers see the old object until the new one is whole", atomic},
		{"a put replaces", replaces},
		{"what is not there is not found", absent},
		{"deleting what is not there is no error", deletes},
		{"keys are listed in order, by prefix, a page at a time", lists},
		{"keys that look alike are others", alike},
		{"keys that lead elsewhere are refused", hostile},
		{"long keys and unusual letters", unusual},
		{"many readers and writers at once", concurrent},
		{"writers of one key: one of them wins, whole", rivals},
		{"of writers of a new key one succeeds", firstWins},
		{"the caller's bytes are the caller's again", copies},
		{"a context that has ended ends a call", ended},
		{"what was stored outlives the closing", persists},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(start(t, h)) })
	}
}

type bench struct {
	*testing.T
	h      Harness
	bucket objects.Bucket
	ctx    context.Context
}

func start(t *testing.T, h Harness) *bench {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b := &bench{T: t, h: h, ctx: ctx, bucket: h.Open(t)}
	t.Cleanup(func() {
		b.must(b.bucket.Close(ctx))
		cancel()
	})
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func told(data []byte) objects.Announced {
	return objects.Announced{Size: int64(len(data)), SHA256: hashOf(data)}
}

var unknown = objects.Announced{Size: -1}

// begin is an upload that is aborted at the end of the test, if it was not ended before.
func (b *bench) begin(key string, as objects.Announced) objects.Upload {
	b.Helper()
	u, err := b.bucket.Create(b.ctx, key, as)
	b.must(err)
	return u
}

func parts(data []byte) (list [][]byte) { return slices.Collect(slices.Chunk(data, objects.PartBytes)) }

func store(ctx context.Context, bucket objects.Bucket, key string, data []byte) error {
	u, err := bucket.Create(ctx, key, told(data))
	if err != nil {
		return err
	}
	for i, part := range parts(data) {
		if err := u.Part(ctx, i+1, part); err != nil {
			return errors.Join(err, u.Abort(ctx))
		}
	}
	return u.Finish(ctx, int64(len(data)), hashOf(data))
}

func (b *bench) put(key string, data []byte) {
	b.Helper()
	b.must(store(b.ctx, b.bucket, key, data))
}

func (b *bench) get(key string) []byte {
	b.Helper()
	info, err := b.bucket.Head(b.ctx, key)
	b.must(err)
	var data []byte
	for int64(len(data)) < info.Size {
		part, err := b.bucket.Read(b.ctx, key, int64(len(data)), objects.PartBytes)
		b.must(err)
		if len(part) == 0 {
			b.Fatalf("%s ends at %d of %d", key, len(data), info.Size)
		}
		data = append(data, part...)
	}
	return data
}

func (b *bench) want(key string, data []byte) {
	b.Helper()
	if got := b.get(key); !bytes.Equal(got, data) {
		b.Errorf("%s: %d bytes with hash %s, want %d with %s", key, len(got), hashOf(got), len(data), hashOf(data))
	}
}

func (b *bench) wantAbsent(key string) {
	b.Helper()
	if info, err := b.bucket.Head(b.ctx, key); !errors.Is(err, objects.ErrNotFound) {
		b.Errorf("%s: %+v, %v", key, info, err)
	}
}

func (b *bench) wantNoLeftovers() {
	b.Helper()
	if n := b.h.Leftovers(b.T); n != 0 {
		b.Errorf("%d unfinished uploads are left", n)
	}
}

// noise is random, the same for one seed.
func noise(n int, seed uint64) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(data)
	return data
}

func whole(b *bench) {
	data := []byte("what was put")
	b.put("models/a/1.bin", data)
	info, err := b.bucket.Head(b.ctx, "models/a/1.bin")
	b.must(err)
	if want := (objects.Info{Key: "models/a/1.bin", Size: 12, SHA256: hashOf(data)}); info != want {
		b.Errorf("%+v", info)
	}
	b.want("models/a/1.bin", data)
	b.wantNoLeftovers()
}

func empty(b *bench) {
	b.put("empty", nil)
	info, err := b.bucket.Head(b.ctx, "empty")
	b.must(err)
	data, err := b.bucket.Read(b.ctx, "empty", 0, 10)
	b.must(err)
	if info.Size != 0 || info.SHA256 != hashOf(nil) || len(data) != 0 {
		b.Errorf("%+v, %q", info, data)
	}
}

func ranges(b *bench) {
	b.put("k", []byte("0123456789"))
	for _, x := range []struct {
		offset, length int64
		want           string
	}{{0, 10, "0123456789"}, {0, 1, "0"}, {3, 4, "3456"}, {9, 1, "9"}, {8, 100, "89"}, {10, 1, ""}, {99, 1, ""}, {0, 0, ""}} {
		data, err := b.bucket.Read(b.ctx, "k", x.offset, x.length)
		if err != nil || string(data) != x.want {
			b.Errorf("%d, %d: %q, %v", x.offset, x.length, data, err)
		}
	}
}

func large(b *bench) {
	data := noise(21<<20+17, 1)
	b.put("large", data)
	b.want("large", data)
	info, err := b.bucket.Head(b.ctx, "large")
	b.must(err)
	if info.SHA256 != hashOf(data) {
		b.Errorf("%+v", info)
	}
	b.wantNoLeftovers()
}

func unannounced(b *bench) {
	data := noise(13<<20, 2)
	u := b.begin("k", unknown)
	for i, part := range parts(data) {
		b.must(u.Part(b.ctx, i+1, part))
	}
	b.must(u.Finish(b.ctx, int64(len(data)), hashOf(data)))
	b.want("k", data)
	info, err := b.bucket.Head(b.ctx, "k")
	b.must(err)
	if info.SHA256 != "" && info.SHA256 != hashOf(data) {
		b.Errorf("%+v", info)
	}
	small := b.begin("small", unknown)
	b.must(small.Part(b.ctx, 1, []byte("x")))
	b.must(small.Finish(b.ctx, 1, hashOf([]byte("x"))))
	if info, err = b.bucket.Head(b.ctx, "small"); err != nil || info.SHA256 != hashOf([]byte("x")) {
		b.Errorf("%+v, %v", info, err)
	}
}

func disordered(b *bench) {
	data := noise(6*objects.PartBytes-3, 3)
	all := parts(data)
	u := b.begin("k", told(data))
	for _, number := range []int{3, 2, 3, 1, 1, 2, 6, 4, 5, 6, 4} {
		b.must(u.Part(b.ctx, number, all[number-1]))
	}
	b.must(u.Finish(b.ctx, int64(len(data)), hashOf(data)))
	b.want("k", data)
}

func wrongParts(b *bench) {
	u := b.begin("k", unknown)
	b.must(u.Part(b.ctx, 1, []byte("one")))
	b.must(u.Part(b.ctx, 3, []byte("three")))
	for what, err := range map[string]error{
		"part 1 came before with other bytes":    u.Part(b.ctx, 1, []byte("One")),
		"part 40 came before part 2":             u.Part(b.ctx, 40, []byte("forty")),
		"part 0: parts are numbered from 1":      u.Part(b.ctx, 0, nil),
		"at most 4194304 are taken at once":      u.Part(b.ctx, 2, make([]byte, objects.PartBytes+1)),
		"part 2 has not come: size or hash diff": u.Finish(b.ctx, 8, hashOf([]byte("onethree"))),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			b.Errorf("want %s, got %v", what, err)
		}
	}
	b.wantAbsent("k")
	b.wantNoLeftovers()
}

func damaged(b *bench) {
	b.put("k", []byte("before"))
	for _, data := range [][]byte{[]byte("after"), noise(17<<20, 4)} {
		for _, x := range []struct {
			size int64
			sum  string
		}{{int64(len(data)) + 1, hashOf(data)}, {int64(len(data)), hashOf([]byte("another"))}, {int64(len(data)), ""}} {
			u := b.begin("k", unknown)
			for i, part := range parts(data) {
				b.must(u.Part(b.ctx, i+1, part))
			}
			if err := u.Finish(b.ctx, x.size, x.sum); !errors.Is(err, objects.ErrDamaged) {
				b.Error(err)
			}
			b.want("k", []byte("before"))
		}
	}
	b.wantNoLeftovers()
}

func otherThanAnnounced(b *bench) {
	data := []byte("bytes")
	for _, as := range []objects.Announced{{Size: 6, SHA256: hashOf(data)}, {Size: 5, SHA256: hashOf(nil)}} {
		u := b.begin("k", as)
		b.must(u.Part(b.ctx, 1, data))
		if err := u.Finish(b.ctx, 5, hashOf(data)); !errors.Is(err, objects.ErrDamaged) {
			b.Error(err)
		}
	}
	b.wantAbsent("k")
}

func aborted(b *bench) {
	for _, n := range []int{0, 10, 17 << 20} {
		u := b.begin("k", unknown)
		for i, part := range parts(noise(n, 5)) {
			b.must(u.Part(b.ctx, i+1, part))
		}
		b.must(u.Abort(b.ctx))
	}
	b.wantAbsent("k")
	b.wantNoLeftovers()
}

func atomic(b *bench) {
	old, fresh := noise(9<<20, 6), noise(19<<20, 7)
	b.put("k", old)
	u := b.begin("k", told(fresh))
	for i, part := range parts(fresh) {
		b.must(u.Part(b.ctx, i+1, part))
	}
	b.want("k", old)
	if found, err := b.bucket.List(b.ctx, "", "", 10); err != nil || len(found) != 1 {
		b.Errorf("%v, %v", found, err)
	}
	b.must(u.Finish(b.ctx, int64(len(fresh)), hashOf(fresh)))
	b.want("k", fresh)
}

func replaces(b *bench) {
	b.put("k", []byte("a longer one"))
	b.put("k", []byte("short"))
	b.want("k", []byte("short"))
	if info, err := b.bucket.Head(b.ctx, "k"); err != nil || info.SHA256 != hashOf([]byte("short")) {
		b.Errorf("%+v, %v", info, err)
	}
}

func absent(b *bench) {
	b.put("a/b", []byte("x"))
	for _, key := range []string{"none", "a", "a/b/c", "a/none"} {
		b.wantAbsent(key)
		if data, err := b.bucket.Read(b.ctx, key, 0, 1); !errors.Is(err, objects.ErrNotFound) {
			b.Errorf("%s: %q, %v", key, data, err)
		}
	}
}

func deletes(b *bench) {
	b.must(b.bucket.Delete(b.ctx, "none"))
	b.put("a/b/c", []byte("x"))
	b.put("a/d", []byte("y"))
	b.must(b.bucket.Delete(b.ctx, "a/b/c"))
	b.must(b.bucket.Delete(b.ctx, "a/b/c"))
	b.must(b.bucket.Delete(b.ctx, "a"))
	b.wantAbsent("a/b/c")
	b.want("a/d", []byte("y"))
	b.put("a/b/c", []byte("z"))
	b.want("a/b/c", []byte("z"))
}

func (b *bench) wantListed(prefix, after string, most int, want ...string) {
	b.Helper()
	found, err := b.bucket.List(b.ctx, prefix, after, most)
	b.must(err)
	var keys []string
	for _, info := range found {
		keys = append(keys, info.Key)
		if info.Size != int64(len(info.Key)) {
			b.Errorf("%+v", info)
		}
	}
	if fmt.Sprint(keys) != fmt.Sprint(want) {
		b.Errorf("%q after %q, %d: %q, want %q", prefix, after, most, keys, want)
	}
}

func lists(b *bench) {
	b.wantListed("", "", 10)
	all := []string{"a", "a-b", "b-c/x", "b.c", "b/1", "b/2/x", "b/2/y", "b/3", "b0", "c"}
	for _, key := range all {
		b.put(key, []byte(key))
	}
	b.wantListed("", "", 100, all...)
	b.wantListed("b", "", 100, all[2:9]...)
	b.wantListed("b/", "", 100, all[4:8]...)
	b.wantListed("b/2", "", 100, all[5:7]...)
	b.wantListed("b/", "b/2/x", 100, all[6:8]...)
	b.wantListed("", "b/", 100, all[4:]...)
	b.wantListed("b/", "b/9", 100)
	b.wantListed("b/", "z", 100)
	b.wantListed("none", "", 100)
	b.wantListed("", "", 0)
	var paged []string
	for after := ""; ; {
		page, err := b.bucket.List(b.ctx, "", after, 3)
		b.must(err)
		if len(page) == 0 {
			break
		}
		for _, info := range page {
			paged = append(paged, info.Key)
		}
		after = page[len(page)-1].Key
	}
	if fmt.Sprint(paged) != fmt.Sprint(all) {
		b.Errorf("%q", paged)
	}
}

func alike(b *bench) {
	keys := []string{"Model", "model", "model.", "model ", "modèl", "mode\u0300l", "..a", "...", ".hidden", "%41", "A", "a+b", "a b", "a?b", "a#b", "a&b=c", "~"}
	for _, key := range keys {
		b.put(key, []byte(key))
	}
	for _, key := range keys {
		b.want(key, []byte(key))
	}
	slices.Sort(keys)
	b.wantListed("", "", 100, keys...)
}

func hostile(b *bench) {
	for _, key := range []string{
		"", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/./b", "a//b", "a/", "//a", "a\x00b", "a\nb", `a\b`, `..\x`,
		"\xff", strings.Repeat("a", 256), strings.Repeat("a/", 600) + "a",
	} {
		u, err := b.bucket.Create(b.ctx, key, unknown)
		var refused *objects.Error
		if !errors.As(err, &refused) || refused.Code != "bad_value" {
			b.Errorf("%q: %v", key, err)
			if err == nil {
				b.must(u.Abort(b.ctx))
			}
		}
	}
	b.wantListed("", "", 10)
	b.wantListed("../", "", 10)
	b.wantNoLeftovers()
}

func unusual(b *bench) {
	for _, key := range []string{
		strings.Repeat("n", 200), strings.Repeat("ab/", 60) + "x", strings.Repeat("a", 150) + "/" + strings.Repeat("b", 150), "模型/пример.bin", "a/b/…/🛫",
	} {
		b.put(key, []byte(key))
		b.want(key, []byte(key))
		b.wantListed(key, "", 10, key)
		b.must(b.bucket.Delete(b.ctx, key))
	}
}

func concurrent(b *bench) {
	shared := noise(9<<20, 8)
	b.put("shared", shared)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			key, data := fmt.Sprintf("own/%d/x", i), noise(1<<20+i, uint64(i))
			for range 3 {
				if err := store(b.ctx, b.bucket, key, data); err != nil {
					b.Error(err)
				}
				at := int64(i) << 19
				got, err := b.bucket.Read(b.ctx, "shared", at, 1<<20)
				if err != nil || !bytes.Equal(got, shared[at:at+1<<20]) {
					b.Errorf("reader %d: %d bytes, %v", i, len(got), err)
				}
				if err := b.bucket.Delete(b.ctx, key); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	if found, err := b.bucket.List(b.ctx, "", "", 10); err != nil || len(found) != 1 {
		b.Errorf("%v, %v", found, err)
	}
	b.wantNoLeftovers()
}

func rivals(b *bench) {
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			if err := store(b.ctx, b.bucket, "k", noise(1<<20+i, uint64(i))); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	info, err := b.bucket.Head(b.ctx, "k")
	b.must(err)
	if data := b.get("k"); hashOf(data) != info.SHA256 {
		b.Errorf("%+v, but %d bytes with hash %s", info, len(data), hashOf(data))
	}
}

func firstWins(b *bench) {
	var all sync.WaitGroup
	var won, lost atomics.Int32
	for i := range 6 {
		all.Go(func() {
			data := noise(100+i, uint64(i))
			as := told(data)
			as.New = true
			u, err := b.bucket.Create(b.ctx, "k", as)
			if err == nil {
				err = errors.Join(u.Part(b.ctx, 1, data), u.Finish(b.ctx, as.Size, as.SHA256))
			}
			var refused *objects.Error
			switch {
			case err == nil:
				won.Add(1)
			case errors.As(err, &refused) && (refused.Code == "exists" || refused.Retry()):
				lost.Add(1)
			default:
				b.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 5 {
		b.Errorf("%d writers have won", won.Load())
	}
	before := b.get("k")
	u := b.begin("k", objects.Announced{Size: -1, New: true})
	b.must(u.Part(b.ctx, 1, []byte("late")))
	var refused *objects.Error
	if err := u.Finish(b.ctx, 4, hashOf([]byte("late"))); !errors.As(err, &refused) || refused.Code != "exists" {
		b.Error(err)
	}
	b.want("k", before)
	b.wantNoLeftovers()
}

func copies(b *bench) {
	u := b.begin("k", unknown)
	data := []byte("two")
	b.must(u.Part(b.ctx, 2, data))
	copy(data, "bad")
	data = []byte("one")
	b.must(u.Part(b.ctx, 1, data))
	copy(data, "bad")
	b.must(u.Finish(b.ctx, 6, hashOf([]byte("onetwo"))))
	b.want("k", []byte("onetwo"))
}

func ended(b *bench) {
	b.put("k", []byte("x"))
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	_, head := b.bucket.Head(over, "k")
	_, read := b.bucket.Read(over, "k", 0, 1)
	_, list := b.bucket.List(over, "", "", 1)
	for _, err := range []error{head, read, list, b.bucket.Delete(over, "k"), store(over, b.bucket, "k", []byte("y"))} {
		if !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
	}
	b.want("k", []byte("x"))
	b.wantNoLeftovers()
}

func persists(b *bench) {
	b.put("k", []byte("x"))
	again := b.h.Open(b.T)
	info, err := again.Head(b.ctx, "k")
	b.must(errors.Join(err, again.Close(b.ctx)))
	if info.Size != 1 || info.SHA256 != hashOf([]byte("x")) {
		b.Errorf("%+v", info)
	}
}
