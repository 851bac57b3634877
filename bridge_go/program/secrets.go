package program

import (
	"regexp"
	"strings"
)

// Secrets are references, ${env:NAME} and ${file:/path}, in connections only, never the secret itself.
var (
	referencePattern = regexp.MustCompile(`\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*|file:/[^}]*)\}`)
	openingPattern   = regexp.MustCompile(`\$\{[^}]{0,40}\}?`)
	userinfoPattern  = regexp.MustCompile(`(//[^/?#@:,]*:)([^/?#,]*)@`)
	queryPattern     = regexp.MustCompile(`([?&][A-Za-z0-9_.-]*` + secretWords + `=)([^&#]+)`)
	settingPattern   = regexp.MustCompile(`^.*` + secretWords + `$`)
	notInVariable    = regexp.MustCompile(`[^A-Z0-9]`)
)

const (
	secretWords = `(?i:password|passwd|secret|token|api_?key)`
	hole        = "\x01" // stands for a reference while the rest of a URL is looked at
)

// checkSecrets adds a problem for each literal secret, each misspelt reference, and each reference outside connections.
func checkSecrets(root *node, ps *problems) {
	s := secrets{root, ps}
	connections := root.get("spec", "connections")
	for _, name := range connections.keysOf() {
		p := path{"spec", "connections", name}
		connection := connections.below[name]
		if url := connection.get("url"); url != nil {
			s.url(p.with("url"), name, url)
		}
		settings := connection.get("settings")
		for _, key := range settings.keysOf() {
			s.setting(p.with("settings", key), name+"_"+key, key, settings.below[key])
		}
	}
	s.elsewhere()
}

type secrets struct {
	root     *node
	problems *problems
}

func (s secrets) url(p path, name string, n *node) {
	if s.misspelt(p, n) {
		return
	}
	variable := variableFor(name + "_password")
	holes := referencePattern.FindAllString(n.text(), -1)
	bare := referencePattern.ReplaceAllString(n.text(), hole)
	mended := bare
	for _, c := range []struct {
		pattern *regexp.Regexp
		tail    string
	}{{userinfoPattern, "@"}, {queryPattern, ""}} {
		mended = c.pattern.ReplaceAllStringFunc(mended, func(found string) string {
			parts := c.pattern.FindStringSubmatch(found)
			return parts[1] + instead(parts[2], variable) + c.tail
		})
	}
	if mended != bare {
		s.problems.addf(n.place, render(s.root, p), "password", "a password stands in the URL. Write %s and set %s",
			refill(mended, holes, variable), variable)
	}
}

func instead(value, variable string) string {
	if strings.Trim(value, hole) == "" {
		return value
	}
	return "${env:" + variable + "}"
}

// refill puts the references back. Where a replaced password held some, their number no longer fits: then it shows none.
func refill(mended string, holes []string, variable string) string {
	if strings.Count(mended, hole) != len(holes) {
		return "${env:" + variable + "} in its place"
	}
	for _, h := range holes {
		mended = strings.Replace(mended, hole, h, 1)
	}
	return mended
}

func (s secrets) setting(p path, name, key string, n *node) {
	if s.misspelt(p, n) || !settingPattern.MatchString(key) {
		return
	}
	_, boolean := n.scalar.(bool)
	if boolean || n.bad || wholeReference(n.text()) {
		return
	}
	variable := variableFor(name)
	s.problems.addf(n.place, render(s.root, p), "password", "a secret stands in the file. Write ${env:%s} and set %s", variable, variable)
}

func wholeReference(text string) bool {
	return text != "" && referencePattern.FindString(text) == text
}

func (s secrets) misspelt(p path, n *node) bool {
	found := openingPattern.FindString(referencePattern.ReplaceAllString(n.text(), ""))
	if found == "" {
		return false
	}
	s.problems.add(n.place, render(s.root, p), "reference", found+" is no reference. Write ${env:NAME} or ${file:/path}")
	return true
}

func (s secrets) elsewhere() {
	s.root.walk(nil, func(p path, n *node) {
		if !p.under("spec", "connections") && referencePattern.MatchString(n.text()) {
			s.problems.add(n.place, render(s.root, p), "reference", "references to secrets are read in connections only")
		}
	})
}

func variableFor(name string) string {
	return notInVariable.ReplaceAllString(strings.ToUpper(name), "_")
}
