package program

import "strings"

// A topic is compared by connection and name, because two streams of one topic make a circle as well.
type topic struct{ connection, name string }

// checkCircles refuses events that would run in a circle: an output, rejected or dead letter stream that leads back to its
// input. One problem for each edge that closes a circle, at that edge.
func checkCircles(root *node, ps *problems) {
	topics, labels := topicsOf(root)
	edges := map[topic][]topic{}
	eachStreamCommand(root, func(p path, command *node) {
		source, known := topics[command.get("input").text()]
		for _, key := range []string{"output", "rejected", "dead_letter"} {
			target, ok := topics[command.get(key).text()]
			if !known || !ok {
				continue
			}
			way := shortest(edges, target, source)
			if way == nil {
				edges[source] = append(edges[source], target)
				continue
			}
			told := []string{labels[source]}
			for _, t := range way {
				told = append(told, labels[t])
			}
			ps.add(command.get(key).place, render(root, p.with(key)), "cycle", strings.Join(told, " -> ")+" runs in a circle")
		}
	})
	checkMixed(root, topics, ps)
}

func topicsOf(root *node) (map[string]topic, map[topic]string) {
	topics, labels := map[string]topic{}, map[topic]string{}
	streams := root.get("spec", "streams")
	for _, name := range streams.keysOf() {
		t := topic{streams.below[name].get("connection").text(), streams.below[name].get("topic").text()}
		if t.connection == "" || t.name == "" {
			continue
		}
		topics[name] = t
		if labels[t] == "" {
			labels[t] = name
		}
	}
	return topics, labels
}

func eachStreamCommand(root *node, visit func(path, *node)) {
	for i, command := range root.get("spec", "commands").items() {
		if commandKind(command) == "score-stream" {
			visit(path{"spec", "commands", i}, command)
		}
	}
}

// shortest is the way from start to end, both included; nil if there is none.
func shortest(edges map[topic][]topic, start, end topic) []topic {
	ways, seen := [][]topic{{start}}, map[topic]bool{start: true}
	for len(ways) > 0 {
		way := ways[0]
		ways = ways[1:]
		last := way[len(way)-1]
		if last == end {
			return way
		}
		for _, next := range edges[last] {
			if !seen[next] {
				seen[next] = true
				ways = append(ways, append(append([]topic{}, way...), next))
			}
		}
	}
	return nil
}

func checkMixed(root *node, topics map[string]topic, ps *problems) {
	eachStreamCommand(root, func(p path, command *node) {
		output, known := topics[command.get("output").text()]
		for _, key := range []string{"rejected", "dead_letter"} {
			n := command.get(key)
			if t, ok := topics[n.text()]; ok && known && t == output {
				ps.add(n.place, render(root, p.with(key)), "mixed", n.text()+" is the output as well; its readers would take both for answers")
			}
		}
	})
}
