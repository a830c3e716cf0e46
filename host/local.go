package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
)

// localAddress is where NATS clients expect a server.
const localAddress = "127.0.0.1:4222"

const (
	// probeTimeout is long for a server on the same machine, which greets
	// within a millisecond when it is given the processor.
	probeTimeout = 5 * time.Second

	// raceTimeout is how long another process may take that is starting its
	// server where we wanted to start ours.
	raceTimeout = 5 * time.Second
	raceDelay   = 20 * time.Millisecond
)

// dialLocal connects to the server on this machine, or else starts one in
// this process. Of several processes that do so at once one gets the port,
// and the others find its server there.
func (d *Dialer) dialLocal(ctx context.Context) (broker.Broker, error) {
	address := cmp.Or(d.local, localAddress)
	options, err := d.localOptions(address)
	if err != nil {
		return nil, err
	}
	race, cancel := context.WithTimeout(ctx, cmp.Or(d.race, raceTimeout))
	defer cancel()
	for {
		there, err := natsAt(ctx, address)
		if err != nil {
			return nil, err
		}
		if there {
			d.logger().Info("found a broker on this machine", "broker", "nats://"+address)
			return asBroker(nats.Dial(ctx, d.nats("nats://"+address)))
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

func (d *Dialer) localOptions(address string) (embeddedOptions, error) {
	o, err := d.readEmbedded("embedded:")
	if err != nil {
		return o, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return o, err
	}
	o.Host = host
	o.Port, err = strconv.Atoi(port)
	return o, err
}

// natsAt reports whether a NATS server listens at an address. Somebody else
// there is an error: neither can we use them nor take their place.
func natsAt(ctx context.Context, address string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false, nil //nolint:nilerr // nobody listens, which is an answer
	}
	defer func() { _ = conn.Close() }() // nothing was written
	deadline, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(deadline); err != nil {
		return false, err
	}
	greeting := make([]byte, len("INFO "))
	n, err := io.ReadFull(conn, greeting)
	switch {
	case string(greeting) == "INFO ":
		return true, nil
	case n == 0 && !errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil // cut off: a server that shuts down, or one that only tried whether the port is free
	}
	return false, fmt.Errorf("something on %s is no NATS server; name your broker with --broker URL", address)
}
