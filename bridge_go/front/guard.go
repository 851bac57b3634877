package front

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

const (
	leastToken = 16      // characters: shorter ones can be guessed
	mostTokens = 1000    // of one file: each costs a comparison a request
	mostInFile = 1 << 20 // bytes of a file of tokens, a certificate or a key
)

// A guard knows the bearer tokens of a file. Without one everybody may ask.
type guard struct {
	file   *watched
	hashes atomic.Pointer[[][sha256.Size]byte]
}

// newGuard reads the tokens, none when the file has no name.
func newGuard(path string) (*guard, error) {
	g := &guard{}
	if path == "" {
		return g, nil
	}
	g.file = &watched{paths: []string{path}, take: g.take}
	if err := g.file.look(); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	if len(*g.hashes.Load()) == 0 {
		return nil, fmt.Errorf("tokens: %s holds none: write one a line", path)
	}
	return g, nil
}

// take reads one token a line. Blank lines and those that begin with # are for people. A file that has become empty lets nobody in.
func (g *guard) take(contents [][]byte) error {
	hashes := [][sha256.Size]byte{}
	number := 0
	for line := range bytes.Lines(contents[0]) {
		number++
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
			continue
		case len(line) < leastToken || !visible(line):
			return fmt.Errorf("%s:%d: a token is at least %d visible ASCII characters without blanks", g.file.paths[0], number, leastToken)
		case len(hashes) == mostTokens:
			return fmt.Errorf("%s: more than %d tokens", g.file.paths[0], mostTokens)
		}
		hashes = append(hashes, sha256.Sum256(line))
	}
	g.hashes.Store(&hashes)
	return nil
}

func visible(token []byte) bool {
	return !bytes.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// allows says whether a value of Authorization names a known token. Hashes are compared, all of them and in constant time, so
// that the time tells nothing of the tokens.
func (g *guard) allows(authorization string) bool {
	hashes := g.hashes.Load()
	if hashes == nil {
		return true
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	known := 0
	for i := range *hashes {
		known |= subtle.ConstantTimeCompare(got[:], (*hashes)[i][:])
	}
	return known == 1 && strings.EqualFold(scheme, "bearer")
}

// Pages that ask for no token: what probes ask, and the page that asks its reader for one.
var unguarded = map[string]bool{
	"/livez": true, "/readyz": true, "/v2/health/live": true, "/v2/health/ready": true, "/": true, "/docs": true, "/docs.js": true,
}

// docsOfModel says whether a path is that of the page of a further model.
func docsOfModel(path string) bool {
	rest, is := strings.CutPrefix(path, modelsPath)
	_, page, _ := strings.Cut(rest, "/")
	return is && page == "docs"
}

// admits says whether a request may go on.
func (g *guard) admits(r *http.Request) bool {
	if g.file == nil || unguarded[r.URL.Path] || docsOfModel(r.URL.Path) {
		return true
	}
	given := r.Header["Authorization"]
	return len(given) == 1 && g.allows(given[0])
}

var errTooMuch = errors.New("larger than any such file is")
