// Package folder keeps objects as files of a folder: file:data/models is relative to the project, file:///var/models is not. A key
// is the path below it, so other programs read and write the same files.
//
// An object is written beside the others, under .ds-objects, synced, and renamed to its place: readers see the old one or the new
// one as a whole, also after a power failure. Its hash is kept below .ds-objects with the size and time of the file; a file that
// somebody else has changed since has no hash. Nothing outside the folder is read or written, whatever the key: not by .., and not
// by a symbolic link. Several processes of one machine may share a folder.
//
// A folder cannot hold what two keys of a bucket may be: models and models/a.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() { objects.Register("file", connect) }

// staleAfter is how old the beginning of an object is that nobody will finish.
const staleAfter = 24 * time.Hour

type bucket struct {
	name string // of the connection
	path string
	mu   sync.Mutex // of the changes that this process makes; changes.go

	sensitive func() bool // whether A and a are two files
}

func connect(_ context.Context, o messaging.Options) (objects.Bucket, error) {
	s := o.Parse()
	for _, name := range []string{"max_line", "max_value", "existing", "lines", "sync", "window"} {
		s.String(name, "") // of the streams that this connection may serve as well
	}
	if err := s.Done(); err != nil {
		return nil, err
	}
	path, err := place(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, fmt.Errorf("connection %s: make the folder of its URL: %w", o.Name, err)
	}
	b := &bucket{name: o.Name, path: path}
	b.sensitive = sync.OnceValue(b.tellsCases)
	b.sweep()
	return b, nil
}

// place is the folder of a URL.
func place(o messaging.Options) (string, error) {
	_, rest, _ := strings.Cut(o.URL, ":")
	path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
	switch {
	case err != nil || strings.ContainsRune(path, 0):
		return "", fmt.Errorf("connection %s: %q is no path of a folder", o.Name, rest)
	case path == "":
		return "", fmt.Errorf("connection %s: objects need a folder in the URL. For example: file:data/models", o.Name)
	case filepath.IsAbs(path):
		return filepath.Clean(path), nil
	}
	return filepath.Abs(filepath.Join(o.Dir, path))
}

// root opens the folder for one call, so that one that was moved or mounted anew is found. What is done by it stays inside.
func (b *bucket) root(ctx context.Context) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(b.path)
	if err != nil {
		return nil, b.failed("open the folder", err)
	}
	return root, nil
}

// Head implements [objects.Bucket], as the methods below do.
func (b *bucket) Head(ctx context.Context, key string) (objects.Info, error) {
	root, err := b.reading(ctx, key)
	if err != nil {
		return objects.Info{}, err
	}
	defer root.Close()
	at, err := root.Stat(key)
	if err != nil || !at.Mode().IsRegular() {
		return objects.Info{}, b.absent(key, err)
	}
	info := objects.Info{Key: key, Size: at.Size()}
	if note, ok := known(root, key); ok && note.of(at) {
		info.SHA256 = note.SHA256
	}
	return info, nil
}

func (b *bucket) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	root, err := b.reading(ctx, key)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(key, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe that nobody writes to would wait for ever
	if err != nil {
		return nil, b.absent(key, err)
	}
	defer file.Close()
	at, err := file.Stat()
	if err != nil || !at.Mode().IsRegular() {
		return nil, b.absent(key, err)
	}
	data := make([]byte, max(0, min(length, objects.PartBytes, at.Size()-offset)))
	n, err := file.ReadAt(data, offset)
	if err != nil && !errors.Is(err, io.EOF) { // end of file: it was cut since
		return nil, b.failed("read "+key, err)
	}
	return data[:n], nil
}

// Close has nothing to end: uploads belong to their callers.
func (b *bucket) Close(context.Context) error { return nil }

// reading opens the folder for a key that somebody wants to read. Those that cannot be are not there.
func (b *bucket) reading(ctx context.Context, key string) (*os.Root, error) {
	if b.check(key) != nil {
		return nil, b.absent(key, nil)
	}
	return b.root(ctx)
}

// check says why a key is none that a file here may have.
func (b *bucket) check(key string) error {
	if err := objects.CheckKey(key); err != nil {
		return b.mistake(err)
	}
	if name, _, _ := strings.Cut(key, "/"); strings.EqualFold(name, ours) {
		return b.mistake(fmt.Errorf("the key %s begins with a name that is kept for notes about objects", key))
	}
	if lower := strings.ToLower(key); lower != key && !b.sensitive() {
		return b.mistake(fmt.Errorf("the key %s: this folder does not tell A from a, write %s", key, lower))
	}
	return nil
}

func (b *bucket) mistake(err error) error {
	return &objects.Error{Code: "bad_value", Reason: fmt.Sprintf("connection %s: %v", b.name, err), Err: err}
}

// absent is an error about a key that cannot be read, for a reason or because nothing of that name is a file.
func (b *bucket) absent(key string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || notFolder(err) {
		return fmt.Errorf("connection %s: %s: %w", b.name, key, objects.ErrNotFound)
	}
	return b.failed("open "+key, err)
}

// failed is an error of the file system. It may pass: space can be made, rights can be given.
func (b *bucket) failed(what string, err error) error {
	code := "unavailable"
	if errors.Is(err, fs.ErrPermission) {
		code = "refused"
	}
	return &objects.Error{Code: code, Reason: fmt.Sprintf("connection %s: %s: %v", b.name, what, err), Err: err}
}
