package objects

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a key may be: the least of what folders and services take, so that a program moves from one to the other by its
// connection's URL alone.
const (
	maxKey  = 1024 // bytes, of S3
	maxName = 255  // bytes between slashes, of file systems
)

// CheckKey says why a key is none that an object may be written under.
func CheckKey(key string) error {
	switch {
	case key == "":
		return badValue("the key is empty")
	case len(key) > maxKey:
		return badValue("the key has %d bytes, at most %d are taken: %.40s...", len(key), maxKey, key)
	case !utf8.ValidString(key):
		return badValue("the key %q is not UTF-8", key)
	case strings.ContainsFunc(key, unicode.IsControl):
		return badValue("the key %q has a control character in it", key)
	case strings.Contains(key, `\`):
		return badValue("the key %q has a backslash in it. Names are parted by /", key)
	}
	for name := range strings.SplitSeq(key, "/") {
		switch {
		case name == "":
			return badValue("the key %q begins or ends with a slash, or has two together", key)
		case name == "." || name == "..":
			return badValue("the key %q has %s in it, which would lead elsewhere", key, name)
		case len(name) > maxName:
			return badValue("the key %q has %d bytes between slashes, at most %d are taken", key, len(name), maxName)
		}
	}
	return nil
}
