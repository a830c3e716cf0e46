// Package entrypoint is for authors of entrypoints. An entrypoint brings work
// to a service of package enoki, or carries work out of it, in a way of its
// own. Packages web, nameko and outbox are built on it. An [Extension] is
// declared with enoki.Extend. It gets a [Scope] of the service when the service
// starts.
//
// Package enoki finds a worker, runs middleware and writes logs. An extension
// hands it each piece of work with Scope.Handle.
package entrypoint
