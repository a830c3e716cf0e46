package interop_test

// missingBehaviours are those that Enoki does not have, yet or on purpose.
func missingBehaviours() []*behaviour {
	all := []*behaviour{
		{id: "C70", title: "a dependency hook that fails ends the container", lacks: always("Enoki injects nothing: what a handler needs is given to its constructor. Nothing of it crosses the wire")},
		{id: "C71", title: "the order of dependency hooks around a worker", lacks: always("Enoki injects nothing: middleware stands around a handler. Nothing of it crosses the wire")},
	}
	for _, b := range []struct{ id, title, lacks string }{
		{"C73", "YAML files with variables", "proof against Nameko's own 30 cases"},
		{"C74", "TLS and EXTERNAL login", "EXTERNAL login"},
	} {
		all = append(all, &behaviour{id: b.id, title: b.title, notYet: always(b.lacks)})
	}
	return all
}
