// Package entrypoint is what brings work to a service of package enoki, or
// carries it out of one, in a way of its own: packages web, nameko and outbox
// are made of it. An [Extension] is declared with enoki.Extend and gets a [Scope]
// of the service when that starts.
//
// How a service finds a worker, runs middleware and writes logs is for package
// enoki; the work itself comes back to it by Scope.Handle.
package entrypoint
