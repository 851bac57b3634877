package folder

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

// An upload is a file below .ds-objects that is to become an object.
type upload struct {
	b    *bucket
	key  string
	root *os.Root
	file *os.File
	sole bool   // the key is to be new
	name string // of the file, in root
	*objects.Assembly
}

// Create implements [objects.Bucket].
func (b *bucket) Create(ctx context.Context, key string, told objects.Announced) (objects.Upload, error) {
	if err := b.check(key); err != nil {
		return nil, err
	}
	root, err := b.root(ctx)
	if err != nil {
		return nil, err
	}
	u := &upload{b: b, key: key, root: root, sole: told.New, name: path.Join(parts, rand.Text())}
	u.Assembly = objects.NewAssembly(told, u.append)
	if err = root.MkdirAll(parts, 0o777); err == nil {
		u.file, err = root.OpenFile(u.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	}
	if err != nil {
		root.Close()
		return nil, b.failed("begin "+key, err)
	}
	return u, nil
}

// append writes behind what was written. A write that has failed half-way is written over by its repetition.
func (u *upload) append(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := u.file.WriteAt(data, u.Size()); err != nil {
		return u.b.failed("write "+u.key, err)
	}
	return nil
}

// Finish implements [objects.Upload].
func (u *upload) Finish(ctx context.Context, size int64, sha256 string) error {
	err := u.Whole(ctx, size, sha256)
	if err == nil {
		err = u.place(ctx, note{Key: u.key, Size: size, SHA256: sha256})
	}
	return errors.Join(err, u.end(err != nil))
}

// place syncs the file and gives it its name. Its note goes first: one that is true of no file is passed over, which is what a
// process that dies in between leaves.
func (u *upload) place(ctx context.Context, n note) error {
	if err := u.file.Sync(); err != nil {
		return u.b.failed("sync "+u.key, err)
	}
	at, err := u.file.Stat()
	if err != nil {
		return u.b.failed("sync "+u.key, err)
	}
	n.Time = at.ModTime().UnixNano()
	return u.b.change(ctx, u.root, func() error {
		if _, err := u.root.Lstat(u.key); err == nil && u.sole {
			return &objects.Error{Code: "exists", Reason: fmt.Sprintf("connection %s: there is an object %s already", u.b.name, u.key)}
		}
		if err := u.note(n); err != nil {
			return u.b.failed("note the hash of "+u.key, err)
		}
		if folder := path.Dir(u.key); folder != "." {
			if err := u.root.MkdirAll(folder, 0o777); err != nil {
				return u.b.inTheWay(u.key, err)
			}
		}
		if err := u.root.Rename(u.name, u.key); err != nil {
			return u.b.inTheWay(u.key, err)
		}
		return u.b.syncFolders(u.root, u.key)
	})
}

func (u *upload) note(n note) error {
	if err := u.root.MkdirAll(notes, 0o777); err != nil {
		return err
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	draft := u.name + ".note"
	if err := u.root.WriteFile(draft, data, 0o666); err != nil {
		return err
	}
	return u.root.Rename(draft, noteOf(n.Key))
}

// Abort implements [objects.Upload].
func (u *upload) Abort(context.Context) error { return u.end(true) }

func (u *upload) end(drop bool) error {
	u.file.Close()
	if drop {
		u.root.Remove(u.name)
		u.root.Remove(u.name + ".note")
	}
	return u.root.Close()
}

// inTheWay explains what a folder has for a limit and a bucket does not.
func (b *bucket) inTheWay(key string, err error) error {
	if notFolder(err) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOTEMPTY) {
		return b.mistake(fmt.Errorf("the key %s: in a folder no object can be below another one: %w", key, err))
	}
	return b.failed("place "+key, err)
}

func notFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// sweep removes what uploads have left that a killed process began.
func (b *bucket) sweep() {
	root, err := os.OpenRoot(b.path)
	if err != nil {
		return
	}
	defer root.Close()
	folder, err := root.Open(parts)
	if err != nil {
		return
	}
	defer folder.Close()
	left, _ := folder.ReadDir(-1)
	for _, entry := range left {
		if at, err := entry.Info(); err == nil && time.Since(at.ModTime()) > staleAfter {
			root.Remove(path.Join(parts, entry.Name()))
		}
	}
}
