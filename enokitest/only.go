package enokitest

import (
	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/internal/testonly"
)

// Only returns the service as it would be with no other entrypoints than those
// named: RPC methods, event handlers and timers. HTTP and WebSockets are left
// out. A name that the service has not is reported by its Check, and fails Run.
func Only(service *enoki.Service, names ...string) *enoki.Service {
	return service.Only(testonly.NewEntrypoints(names...))
}
