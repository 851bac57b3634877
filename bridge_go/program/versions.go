package program

// checkVersions refuses versions side by side of which none would get a request, and further models by the program's own name. One
// problem a command, at the versions or the name.
func checkVersions(root *node, ps *problems) {
	for i, command := range root.get("spec", "commands").items() {
		checkModels(root, path{"spec", "commands", i, "models"}, command.get("models"), ps)
		versions := command.get("versions")
		if !versions.isMap() || versions.bad || weighted(versions) {
			continue
		}
		ps.add(versions.place, render(root, path{"spec", "commands", i, "versions"}), "range",
			"none has a weight, so none would be asked. Write for example {3: 90, 4: 10}")
	}
}

func weighted(versions *node) bool {
	for _, name := range versions.keysOf() {
		if n := versions.below[name]; n.bad || n.scalar != int64(0) {
			return true
		}
	}
	return false
}

func checkModels(root *node, p path, models *node, ps *problems) {
	own := root.get("metadata", "name").text()
	if own != "" && models.has(own) {
		ps.add(models.keys[own], render(root, p.with(own)), "duplicate", "is this program's own name. Its model is served already: leave it out")
	}
}
