package enoki

import (
	"context"

	"github.com/enoki-go/enoki/internal/trail"
)

// hand gives a one-way call to the broker, even when the service runs in this
// process. A direct call would have nowhere to leave its error.
func (b *binding) hand(ctx context.Context, c *Call) error {
	body, err := b.method.Request(c.in)
	if err != nil {
		return err
	}
	ctx, limit := withTimeout(ctx, b.method.Timeout, b.client.options.Timeout)
	defer limit.End()
	return b.target.Do(ctx, b.method.Idempotent, func(ctx context.Context) error {
		// The call may run long after its caller's deadline, so the message carries no
		// deadline.
		m, err := b.client.message(body, trail.Of(ctx).Send(context.WithoutCancel(ctx), b.client.name))
		if err != nil {
			return Errorf(InvalidArgument, "call %s.%s: %w", b.service, b.method.Name, err)
		}
		m.OneWay = true
		_, _, err = b.client.exchange(ctx, b.service, b.method.Name, m)
		return err
	})
}
