package folder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

// change holds off other changes, of this process and of others, so that a file and its note belong together and a folder that is
// empty for a moment is not removed under a file that is just coming.
func (b *bucket) change(ctx context.Context, root *os.Root, do func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := root.MkdirAll(ours, 0o777); err != nil {
		return b.failed("lock the folder", err)
	}
	file, err := root.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return b.failed("lock the folder", err)
	}
	defer file.Close() // which unlocks
	if err := exclusive(ctx, file); err != nil {
		return b.failed("lock the folder", err)
	}
	return do()
}

// lockPause is between two tries to lock, a few times what a change takes.
const lockPause = 5 * time.Millisecond

// exclusive locks a file as soon as nobody else has. It asks again and again: a call that waits cannot be ended, and the process that
// has the lock may be stopped. File systems that know no locks have none.
func exclusive(ctx context.Context, file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil, errors.Is(err, unix.ENOTSUP):
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// Delete implements [objects.Bucket]. Folders that are empty then go with it.
func (b *bucket) Delete(ctx context.Context, key string) error {
	root, err := b.reading(ctx, key)
	if err != nil {
		return passOver(err)
	}
	defer root.Close()
	if at, err := root.Lstat(key); err != nil || at.IsDir() {
		return passOver(b.absent(key, err))
	}
	return b.change(ctx, root, func() error {
		if err := root.Remove(key); err != nil {
			return passOver(b.absent(key, err))
		}
		root.Remove(noteOf(key))
		removeEmpty(root, path.Dir(key))
		return nil
	})
}

// removeEmpty removes a folder that holds nothing, and those above it that then hold nothing either. A link to a folder stays: it can
// always be removed, whatever it leads to.
func removeEmpty(root *os.Root, folder string) {
	for ; folder != "."; folder = path.Dir(folder) {
		if at, err := root.Lstat(folder); err != nil || !at.IsDir() || root.Remove(folder) != nil {
			return
		}
	}
}

// syncFolders has the names of a key survive a power failure.
func (b *bucket) syncFolders(root *os.Root, key string) error {
	for folder := path.Dir(key); ; folder = path.Dir(folder) {
		f, err := root.Open(folder)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return b.failed("sync the folder of "+key, err)
		}
		if folder == "." {
			return nil
		}
	}
}

// tellsCases says whether the file system has A and a for two names.
func (b *bucket) tellsCases() bool {
	root, err := os.OpenRoot(b.path)
	if err != nil {
		return true
	}
	defer root.Close()
	if root.MkdirAll(ours, 0o777) != nil { // read only: what is there has the names that it has
		return true
	}
	_, err = root.Stat(strings.ToUpper(ours))
	return errors.Is(err, fs.ErrNotExist)
}

// passOver drops the error that there is no such object.
func passOver(err error) error {
	if errors.Is(err, objects.ErrNotFound) {
		return nil
	}
	return err
}
