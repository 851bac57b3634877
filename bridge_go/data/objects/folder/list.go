package folder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

// List implements [objects.Bucket]. It reads the folders that can hold what is asked for, and no others.
func (b *bucket) List(ctx context.Context, prefix, after string, most int) ([]objects.Info, error) {
	root, err := b.root(ctx)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	l := &listing{ctx: ctx, root: root, prefix: prefix, after: after, most: most}
	if err := l.folder(""); err != nil && !errors.Is(err, errEnough) {
		return nil, b.failed("list", err)
	}
	return l.found, nil
}

var errEnough = errors.New("as many as were asked for")

type listing struct {
	ctx           context.Context
	root          *os.Root
	prefix, after string
	most          int
	found         []objects.Info
}

// An entry's key ends with a slash if it is a folder: so keys come in the order in which services have them, a-b before a/b.
type entry struct {
	key string
	fs.DirEntry
}

func (l *listing) folder(path string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := l.entries(path)
	if errors.Is(err, fs.ErrNotExist) { // removed since
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.key, "/"):
			err = l.folder(e.key)
		default:
			err = l.file(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entries are what may hold an object that is asked for, in order.
func (l *listing) entries(path string) ([]entry, error) {
	folder, err := l.root.Open("./" + path)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	all, err := folder.ReadDir(-1)
	var kept []entry
	for _, d := range all {
		e := entry{path + d.Name(), d}
		if d.IsDir() {
			e.key += "/"
		}
		if e.key != ours+"/" && l.wants(e.key) {
			kept = append(kept, e)
		}
	}
	slices.SortFunc(kept, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return kept, err
}

// wants says whether a key is asked for, or may be the beginning of one that is.
func (l *listing) wants(key string) bool {
	if strings.HasSuffix(key, "/") {
		return (strings.HasPrefix(key, l.prefix) || strings.HasPrefix(l.prefix, key)) &&
			(key > l.after || strings.HasPrefix(l.after, key))
	}
	return strings.HasPrefix(key, l.prefix) && key > l.after
}

// file adds an object. A link counts as what it leads to, if that is a file in the folder.
func (l *listing) file(e entry) error {
	if len(l.found) >= l.most {
		return errEnough
	}
	at, err := l.root.Stat(e.key)
	if err == nil && at.Mode().IsRegular() && objects.CheckKey(e.key) == nil {
		l.found = append(l.found, objects.Info{Key: e.key, Size: at.Size()})
	}
	return nil
}
