package enokitest

import (
	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testonly"
)

// Only returns a copy of the service with only the named entrypoints: RPC
// methods, event handlers and timers. HTTP and WebSockets are left out. A name
// that the service does not have is a mistake: Check reports it, and Run fails.
func Only(service *enoki.Service, names ...string) *enoki.Service {
	return service.Only(testonly.NewEntrypoints(names...))
}
