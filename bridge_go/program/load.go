package program

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Options say what is laid over the file.
type Options struct {
	Env    string   // prod: program.prod.yaml beside program.yaml
	Params []string // name=value, over spec.params
}

// Load reads a program. An [*Error] lists all problems at once. Secrets stay references until [Program.Reveal].
func Load(file string, o Options) (*Program, error) {
	ps := &problems{}
	root, err := readAll(file, o.Env, ps)
	if err != nil {
		return nil, ps.err()
	}
	applyParams(root, o.Params, ps)
	dropNulls(root, nil)
	checkStructure(root, ps)
	checkSecrets(root, ps)
	resolve(root)
	checkNames(root, ps)
	if err := ps.err(); err != nil {
		return nil, err
	}
	return typed(root, file)
}

func readAll(file, env string, ps *problems) (*node, error) {
	root, err := readFile(file, file, "", ps)
	if err != nil {
		return nil, err
	}
	checkDuplicates(root, ps)
	if env == "" {
		return root, nil
	}
	over, err := readFile(overlayName(file, env), file, env, ps)
	if err != nil {
		return nil, err
	}
	checkDuplicates(over, ps)
	return overlay(root, over), nil
}

// overlayName is program.prod.yaml for program.yaml and prod.
func overlayName(file, env string) string {
	ext := filepath.Ext(file)
	return strings.TrimSuffix(file, ext) + "." + env + ext
}

func readFile(file, base, env string, ps *problems) (*node, error) {
	data, err := os.ReadFile(file)
	var pathErr *fs.PathError
	switch {
	case err == nil:
		return compose(data, file, ps)
	case !errors.Is(err, fs.ErrNotExist):
		reason := err.Error()
		if errors.As(err, &pathErr) {
			reason = pathErr.Err.Error()
		}
		ps.add(Place{File: file}, "", "file", "cannot be read: "+reason)
	case env == "":
		ps.add(Place{File: file}, "", "file", "there is no such file. Make a project with: ds-runner new")
	default:
		ps.addf(Place{File: "--env " + env}, "", "file", "no %s beside %s. Found: %s.",
			filepath.Base(file), filepath.Base(base), listed(overlaysOf(base)))
	}
	return nil, errUnreadable
}

func overlaysOf(base string) []string {
	found, _ := filepath.Glob(overlayName(base, "*"))
	for i, f := range found {
		found[i] = filepath.Base(f)
	}
	sort.Strings(found)
	return found
}

func typed(root *node, file string) (*Program, error) {
	p := &Program{folder: filepath.Dir(file), origins: map[string]string{}, places: map[string]Place{}, plain: root.plain()}
	data, err := json.Marshal(p.plain)
	if err != nil {
		return nil, fmt.Errorf("program: %s: %w", file, err)
	}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("program: %s: %w", file, err)
	}
	root.walk(nil, func(at path, n *node) {
		shown := render(root, at)
		p.places[shown] = n.place
		if n.shape == scalarShape || (len(n.names) == 0 && len(n.list) == 0 && n.origin != "") {
			p.origins[shown] = n.origin
		}
	})
	return p, nil
}
