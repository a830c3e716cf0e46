package interop_test

// missingBehaviours are those that Enoki does not have, on purpose.
func missingBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C70", title: "a dependency hook that fails ends the container", lacks: always("Enoki injects nothing: what a handler needs is given to its constructor. Nothing of it crosses the wire")},
		{id: "C71", title: "the order of dependency hooks around a worker", lacks: always("Enoki injects nothing: middleware stands around a handler. Nothing of it crosses the wire")},
	}
}
