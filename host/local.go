package host

import (
	"cmp"
	"context"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/brokerdir"
	"github.com/enoki-go/enoki/telemetry"
)

const (
	// raceTimeout is how long another process may take that is starting its
	// server where we wanted to start ours: it recovers what is stored first.
	raceTimeout = 30 * time.Second
	raceDelay   = 20 * time.Millisecond
)

// dialLocal connects to the broker of this project, or else starts it in this
// process. Of several processes that do so at once one gets the directory, and
// the others find its server by it.
func (d *Dialer) dialLocal(ctx context.Context) (broker.Broker, error) {
	options, err := d.readEmbedded("embedded:")
	if err != nil {
		return nil, err
	}
	race, cancel := context.WithTimeout(ctx, cmp.Or(d.race, raceTimeout))
	defer cancel()
	for {
		if url := brokerdir.URL(options.Dir); url != "" {
			d.logger().Info("found the broker of this project", "broker", telemetry.RedactURL(url), "dir", options.Dir)
			return d.dialFound(ctx, url, options)
		}
		b, err := d.startEmbedded(ctx, options)
		if err == nil || !isTaken(err) {
			return b, err
		}
		select {
		case <-race.Done():
			return nil, err
		case <-time.After(raceDelay):
		}
	}
}
