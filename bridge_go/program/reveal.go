package program

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strings"
)

const masked = "***"

// maxSecretFile bounds what ${file:...} reads: a secret, not a log.
const maxSecretFile = 64 << 10

// Revealed is a connection with its secrets in place. It prints masked; only its fields hold what is secret.
type Revealed struct {
	Name     string
	URL      string
	Settings map[string]string

	shown  string // the URL as written, with references
	hidden []string
}

// Reveal reads the secrets that a connection refers to. An [*Error] lists all that could not be read. It is for the bridge
// alone: what it returns goes to a connector and nowhere else.
func (p *Program) Reveal(connection string) (*Revealed, error) {
	c, ok := p.Spec.Connections[connection]
	if !ok {
		return nil, fmt.Errorf("program: no connection %q", connection)
	}
	r := &revealer{ps: &problems{}}
	at := "connections." + connection
	out := &Revealed{Name: connection, Settings: map[string]string{}, shown: c.URL}
	out.URL = r.fill(p.places[at+".url"], at+".url", c.URL, !wholeReference(c.URL))
	for _, key := range sortedKeys(c.Settings) {
		shown := at + ".settings." + key
		out.Settings[key] = r.fill(p.places[shown], shown, string(c.Settings[key]), false)
	}
	out.hidden = r.hidden
	return out, r.ps.err()
}

type revealer struct {
	ps     *problems
	hidden []string
}

// fill puts secrets in the place of references. Within a URL they are percent-encoded, or else a password with a slash in it
// would end the host.
func (r *revealer) fill(at Place, path, text string, encode bool) string {
	return referencePattern.ReplaceAllStringFunc(text, func(reference string) string {
		secret, err := read(reference)
		if err != nil {
			r.ps.add(at, path, "secret", fmt.Sprintf("%s: %v", reference, err))
			return masked
		}
		if secret != "" {
			r.hidden = append(r.hidden, secret)
		}
		if encode {
			return r.encoded(secret)
		}
		return secret
	})
}

func (r *revealer) encoded(secret string) string {
	escaped := percentEncode(secret)
	if escaped != secret {
		r.hidden = append(r.hidden, escaped)
	}
	return escaped
}

func percentEncode(text string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for i := range len(text) {
		if strings.IndexByte(unreserved, text[i]) >= 0 {
			b.WriteByte(text[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", text[i])
		}
	}
	return b.String()
}

func read(reference string) (string, error) {
	kind, name, _ := strings.Cut(reference[len("${"):len(reference)-len("}")], ":")
	if kind == "env" {
		if value, set := os.LookupEnv(name); set {
			return value, nil
		}
		return "", errors.New("the variable is not set")
	}
	return readSecretFile(name)
}

func readSecretFile(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", errors.New("there is no such file")
	case err != nil:
		return "", errors.New("the file cannot be read")
	case !info.Mode().IsRegular() || info.Size() > maxSecretFile:
		return "", errors.New("not a file of at most 64 KiB")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", errors.New("the file cannot be read")
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// String shows the connection as it was written.
func (r *Revealed) String() string { return fmt.Sprintf("%s (%s)", r.Name, r.shown) }

// GoString keeps %#v from printing secrets.
func (r *Revealed) GoString() string { return r.String() }

// LogValue keeps slog from printing secrets.
func (r *Revealed) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalJSON keeps encoders from printing secrets.
func (r *Revealed) MarshalJSON() ([]byte, error) { return []byte(fmt.Sprintf("%q", r.String())), nil }

// Mask replaces the connection's secrets in a text that a library wrote, such as an error that quotes the URL.
func (r *Revealed) Mask(text string) string {
	hidden := append([]string{}, r.hidden...)
	sort.Slice(hidden, func(i, j int) bool { return len(hidden[i]) > len(hidden[j]) })
	for _, secret := range hidden {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
