package app

import (
	"path/filepath"

	"ds-runner.dev/ds-runner/bridge_go/program"
)

// certificate are the files by which a command says who it is, none where it serves plain HTTP.
func (b *bridge) certificate(c program.Command) (cert, key string) {
	if c.TLS == nil {
		return "", ""
	}
	return b.beside(c.TLS.Cert), b.beside(c.TLS.Key)
}

// beside is a file that program.yaml names: relative to its folder.
func (b *bridge) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(b.program.Folder(), path)
}
