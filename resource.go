package enoki

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// resource is what a service opens at start and closes when it has stopped.
type resource struct {
	open, close func(ctx context.Context) error
}

// Resource declares what a service opens before it takes work and closes once
// its work has ended, such as a pool of connections. Resources are opened in
// the order of their declaration and closed in reverse; only what was opened
// is closed. Either function may be nil. An error of open keeps the service
// from starting. The context of close ends when the time to stop is over.
func Resource(open, close func(ctx context.Context) error) Part {
	return partFunc(func(s *Service) error {
		if open == nil && close == nil {
			return errors.New("resource has no function; give Resource one to open or one to close")
		}
		s.resources = append(s.resources, resource{open, close})
		return nil
	})
}

// openResources opens those of the service, in order.
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

// closeResources closes those that were opened, in reverse order.
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
