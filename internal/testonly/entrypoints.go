// Package testonly lets package enokitest, and no other package, call some
// functions of package enoki. They need an argument whose type is from here, so
// only this module can make it.
package testonly

// Entrypoints are names of entrypoints of a service.
type Entrypoints struct{ names []string }

// NewEntrypoints returns the entrypoints with these names.
func NewEntrypoints(names ...string) Entrypoints { return Entrypoints{names} }

// Names returns their names.
func (e Entrypoints) Names() []string { return e.names }
