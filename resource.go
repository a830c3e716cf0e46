package enoki

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// resource is a pair of functions: one opens something when the service starts,
// the other closes it after the service has stopped.
type resource struct {
	open, close func(ctx context.Context) error
}

// Resource declares something that a service opens before it takes work and
// closes after its work has ended, such as a pool of connections. Resources are
// opened in the order of their declaration and closed in reverse. Only opened
// resources are closed. Either function may be nil. If open returns an error,
// the service does not start. The context of close ends when the grace period
// is over.
func Resource(open, close func(ctx context.Context) error) Part {
	return partFunc(func(s *Service) error {
		if open == nil && close == nil {
			return errors.New("resource has no function; give Resource one to open or one to close")
		}
		s.resources = append(s.resources, resource{open, close})
		return nil
	})
}

// openResources opens the resources of the service in order.
func (i *instance) openResources(ctx context.Context) error {
	for n, r := range i.service.resources {
		if r.open != nil {
			if err := i.safely("resource", func() error { return r.open(ctx) }); err != nil {
				return fmt.Errorf("open resource %d of %d: %w", n+1, len(i.service.resources), err)
			}
		}
		i.held = append(i.held, r)
	}
	return nil
}

// closeResources closes the opened resources in reverse order.
func (i *instance) closeResources(ctx context.Context) error {
	var failures []error
	for _, r := range slices.Backward(i.held) {
		if r.close != nil {
			failures = append(failures, i.safely("resource", func() error { return r.close(ctx) }))
		}
	}
	i.held = nil
	return errors.Join(failures...)
}
