package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/amqp"
)

// shadowOptions are the flags of enoki shadow, and what is read from them.
type shadowOptions struct {
	service   string
	against   string // package, or URL of a broker
	with      []string
	arguments []string // of the programs

	ignored, hide []string
	sampled       string // such as 10%
	count         int
	period        time.Duration // 0 is without end
	timeout       time.Duration
	exchange      string

	ignore  []field
	mask    mask
	percent float64
}

func (c *cli) shadowCommand() *cobra.Command {
	o := &shadowOptions{}
	cmd := &cobra.Command{
		Use:   "shadow SERVICE --against PACKAGE|URL [-- ARGUMENT...]",
		Short: "Compare a live service with another one that answers nobody",
		Long: `Copy the requests that a live service on RabbitMQ gets, in Python or Go, to a Go
service that answers nobody, and show where its results and errors differ from
what the live one has answered.

The live side notices nothing: the copies come from a bounded queue of this
command's own, which goes when it ends. The package is built and runs on a
private broker, so nothing that it calls or emits reaches the live cluster, and
what it needs must run there too: --with. It runs each request for real: give it
a database of its own, after -- or in its configuration.

It ends with Ctrl-C, --for or --count, and a summary: with code 0 when all that
was compared is equal, 1 when something differs, 4 when nothing was compared.`,
		Example: example(
			`enoki shadow register --against ./services/register --broker amqp://localhost`,
			`enoki shadow register --against ./services/register --ignore result.updated_at,error.value --for 10m`,
			`enoki shadow push --against ./services/push --with ./services/register --sample 10% -- --store ./copy.db`,
			`enoki shadow register --against nats://127.0.0.1:4222 --count 1000 --json`),
		Args:              exactlyOneService,
		ValidArgsFunction: c.completeService,
		RunE: func(cmd *cobra.Command, words []string) error {
			o.service, o.arguments = words[0], words[1:]
			if err := o.read(); err != nil {
				return err
			}
			return c.shadow(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.against, "against", "", "package of the Go service, or URL of a broker on which it runs")
	flags.StringArrayVar(&o.with, "with", nil, "run this package beside it; may be given several times")
	flags.StringSliceVar(&o.ignored, "ignore", nil, "don't compare these fields, such as result.items.*.price,error.value")
	flags.StringSliceVar(&o.hide, "hide", nil, "print *** in place of these fields and arguments, by name or path")
	flags.StringVar(&o.sampled, "sample", "100%", "share of the requests to copy, taken at random")
	flags.IntVar(&o.count, "count", 0, "stop after copying this many requests (default: never)")
	flags.DurationVar(&o.period, "for", 0, "stop after this time (default: never)")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long to wait for both answers to a request that carries no time of its own")
	flags.StringVar(&o.exchange, "rpc-exchange", "nameko-rpc", "exchange of the live requests, Nameko's rpc_exchange")
	return cmd
}

// exactlyOneService looks at the words before --.
func exactlyOneService(cmd *cobra.Command, words []string) error {
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		words = words[:n]
	}
	if len(words) != 1 {
		return fmt.Errorf("want the name of one service, got %d words; arguments of the program follow --", len(words))
	}
	return nil
}

// read checks the flags.
func (o *shadowOptions) read() error {
	switch {
	case o.service == "" || strings.ContainsAny(o.service, "*# "):
		return usageError{fmt.Errorf("%q is no name of a service", o.service)}
	case o.against == "":
		return usageError{errors.New("--against is missing; give the package of the Go service, such as ./services/" + o.service)}
	case isURL(o.against) && len(o.with)+len(o.arguments) > 0:
		return usageError{errors.New("--against is a broker, so nothing is run; --with and arguments after -- belong to a package")}
	}
	share, isPercent := strings.CutSuffix(o.sampled, "%")
	var err error
	if o.percent, err = strconv.ParseFloat(share, 64); err != nil || !isPercent || !(o.percent > 0 && o.percent <= 100) {
		return usageError{fmt.Errorf("--sample %q is no share of requests; write it as 10%%", o.sampled)}
	}
	if o.ignore, err = parseFields("ignore", o.ignored, []string{"result", "error", "failure"}, false); err != nil {
		return err
	}
	o.mask, err = parseFields("hide", o.hide, []string{"result", "error", "arguments"}, true)
	return err
}

func isAMQP(url string) bool {
	scheme, _, _ := strings.Cut(strings.ToLower(url), ":")
	return scheme == "amqp" || scheme == "amqps" || scheme == "pyamqp"
}

// dialTap connects to the live broker.
func (c *cli) dialTap(ctx context.Context, service, exchange string) (*amqp.Tap, error) {
	url, err := c.brokerURL()
	if err != nil {
		return nil, err
	}
	if !isAMQP(url) {
		return nil, usageError{fmt.Errorf("the live service is on RabbitMQ: name it with --broker amqp://user:password@host/vhost or $%s", brokerVariable)}
	}
	ctx, cancel := withTimeout(ctx, shadowAwaitTimeout)
	defer cancel()
	tap, err := amqp.DialTap(ctx, amqp.Config{URL: url, Logger: c.logger(), Owner: "enoki-tap", RPCExchange: exchange}, service)
	if err != nil {
		return nil, enoki.Errorf(enoki.Unavailable, "connect to the live broker: %w", err)
	}
	return tap, nil
}

func (c *cli) shadow(ctx context.Context, o *shadowOptions) error {
	tap, err := c.dialTap(ctx, o.service, o.exchange)
	if err != nil {
		return err
	}
	defer tap.Close()
	target, err := c.startShadow(ctx, o, tap)
	if err != nil {
		return err
	}
	defer target.close()
	hard, cancel := context.WithCancel(c.hard)
	defer cancel()
	m := &mirror{
		ctx: hard, shadow: target.broker, service: o.service, timeout: o.timeout, limit: o.count,
		sample: func() bool { return o.percent == 100 || rand.Float64()*100 < o.percent },
		report: newShadowReport(c, o, target.names),
		full:   make(chan struct{}), pending: map[pairKey]*pair{},
	}
	if err := tap.Attach(ctx); err != nil {
		return fmt.Errorf("tap the live broker: %w", err)
	}
	c.say("shadowing %s; Ctrl-C ends it", o.service)
	failure := watchShadow(ctx, o, tap, target, m, cancel)
	sum, err := m.report.summarize()
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return err
	case sum.Different > 0:
		return reported{1}
	case sum.Compared == 0:
		return enoki.Errorf(enoki.NotFound, "no request to %s was compared", o.service)
	}
	return nil
}

// watchShadow lets the mirror work until its end, and until the requests at
// hand are compared. When something fails it calls giveUp and does not wait
// for them.
func watchShadow(ctx context.Context, o *shadowOptions, tap *amqp.Tap, target *shadowTarget, m *mirror, giveUp func()) error {
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	tapped := make(chan error, 1)
	go func() { tapped <- tap.Run(reading, m.take) }()
	var end <-chan time.Time
	if o.period > 0 {
		timer := time.NewTimer(o.period)
		defer timer.Stop()
		end = timer.C
	}
	var failure error
	select {
	case <-ctx.Done():
	case <-end:
	case <-m.full:
	case failure = <-tapped:
		tapped <- nil // has ended already
	case err := <-target.ended:
		failure = endedEarly(o, err)
	}
	if failure != nil {
		giveUp()
	}
	m.wait()
	stopReading()
	return errors.Join(failure, <-tapped)
}
