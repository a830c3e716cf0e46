package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/host"
	"github.com/enoki-go/enoki/internal/brokerdir"
	"github.com/enoki-go/enoki/internal/closest"
)

const (
	brokerVariable   = "ENOKI_BROKER"    // the environment variable that names the broker
	storeDirVariable = "ENOKI_STORE_DIR" // as for programs: the directory of the embedded broker
)

// connect connects to the broker that the user means. It never starts one:
// a client on a broker of its own would find nobody there.
func (c *cli) connect(ctx context.Context) (broker.Broker, error) {
	url, err := c.brokerURL()
	if err != nil {
		return nil, err
	}
	if url == "" {
		if url, err = c.localURL(); err != nil {
			return nil, err
		}
	}
	b, err := (&host.Dialer{Logger: c.logger(), Name: "enoki-cli"}).Dial(ctx, url)
	switch {
	case err == nil:
		return b, nil
	case enoki.CodeOf(err) == enoki.InvalidArgument:
		return nil, usageError{err}
	case errors.Is(err, context.Canceled):
		return nil, err
	}
	return nil, enoki.Errorf(enoki.Unavailable, "connect to the broker: %w", err)
}

// connectWithin is connect that also waits for a broker of this project.
func (c *cli) connectWithin(ctx context.Context, wait time.Duration) (broker.Broker, error) {
	for deadline := time.Now().Add(wait); ; {
		b, err := c.connect(ctx)
		if enoki.CodeOf(err) != enoki.Unavailable || wait == 0 {
			return b, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(lookPause, time.Until(deadline))):
		}
		if ctx.Err() != nil || !time.Now().Before(deadline) {
			return nil, enoki.Errorf(enoki.DeadlineExceeded, "no broker came within %v: %w", wait, err)
		}
	}
}

// lookPause is how long to wait before another look for a broker.
const lookPause = 100 * time.Millisecond

// brokerURL is the URL that the user gave, or "". A broker that lives in one
// process only is an error: there is nobody else on it. So is an empty URL: it
// comes of a variable that was meant to have one.
func (c *cli) brokerURL() (string, error) {
	url, source, given := c.broker, "--broker", c.brokerGiven
	if !given && url == "" { // a shell that completes words does not say what was given
		source = "$" + brokerVariable
		if url, given = os.LookupEnv(brokerVariable); !given {
			return "", misspelt(os.Environ())
		}
	}
	scheme, _, _ := strings.Cut(url, ":")
	switch {
	case url == "":
		return "", usageError{fmt.Errorf("%s is empty; give the URL of a broker, or leave it out for that of this project", source)}
	case strings.EqualFold(scheme, "embedded"), strings.EqualFold(scheme, "memory"):
		return "", usageError{fmt.Errorf("the broker %s lives in one process, and nobody else is on it; name one that is shared, or none", url)}
	}
	return url, nil
}

// misspelt is an error when a variable was most likely meant to be the one
// that names the broker.
func misspelt(environ []string) error {
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if word, ours := strings.CutPrefix(name, "ENOKI_"); ours && closest.Slip(word, []string{"BROKER"}) != "" {
			return usageError{fmt.Errorf("unknown variable %s; did you mean %s?", name, brokerVariable)}
		}
	}
	return nil
}

// place is where the broker of this project has its files. Outside of
// projects there is none.
func (c *cli) place() (p brokerdir.Place, ok bool, err error) {
	if dir := os.Getenv(storeDirVariable); dir != "" {
		return brokerdir.Place{Dir: dir}, true, nil
	}
	p, ok, err = brokerdir.Here("")
	if err != nil {
		err = fmt.Errorf("no place for a broker's files: %w; name a broker with --broker, or a directory with $%s", err, storeDirVariable)
	}
	return p, ok, err
}

// localURL is the URL of the broker that runs for this project. Outside of
// projects it is that of the only one that runs.
func (c *cli) localURL() (string, error) {
	p, inProject, err := c.place()
	if err != nil {
		return "", err
	}
	others := running()
	if inProject {
		url := brokerdir.URL(p.Dir)
		switch {
		case url == "":
			return "", enoki.Errorf(enoki.Unavailable, "no broker runs for %s; start one with `enoki broker`, or name yours with --broker URL or $%s%s",
				ownerOf(p), brokerVariable, listed(others))
		case len(others) > 1:
			c.say("on the broker of %s", ownerOf(p))
		}
		return url, nil
	}
	switch len(others) {
	case 0:
		return "", enoki.Errorf(enoki.Unavailable, "no broker runs on this machine; start one with `enoki broker`, or name yours with --broker URL or $%s", brokerVariable)
	case 1:
		c.say("on the broker of %s", ownerOf(others[0]))
		return brokerdir.URL(others[0].Dir), nil
	}
	return "", usageError{fmt.Errorf("which broker? Go to the directory of a project, or name one with --broker URL%s", listed(others))}
}

// running returns where brokers of this user's projects run.
func running() []brokerdir.Place {
	state, err := brokerdir.State()
	if err != nil {
		return nil
	}
	return brokerdir.All(state)
}

func ownerOf(p brokerdir.Place) string {
	if p.Project == "" {
		return "directory " + p.Dir
	}
	return "project " + p.Project
}

func listed(places []brokerdir.Place) string {
	var text strings.Builder
	for _, p := range places {
		text.WriteString("\none runs for " + ownerOf(p))
	}
	return text.String()
}

// logger shows the warnings of drivers, which belong to the talk.
func (c *cli) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (c *cli) options() *enoki.Options {
	return &enoki.Options{Logger: c.logger()}
}
