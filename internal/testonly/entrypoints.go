// Package testonly has what package enokitest asks of package enoki and nobody
// else may: an argument of a type from here can be made within this module only.
package testonly

// Entrypoints are names of entrypoints of a service.
type Entrypoints struct{ names []string }

// NewEntrypoints returns the entrypoints with these names.
func NewEntrypoints(names ...string) Entrypoints { return Entrypoints{names} }

// Names returns their names.
func (e Entrypoints) Names() []string { return e.names }
