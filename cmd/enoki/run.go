package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki/internal/brokerdir"
	"github.com/enoki-go/enoki/telemetry"
)

func (c *cli) runCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "run [PACKAGE]... [-- ARGUMENT...]",
		Short: "Build and run packages, and again when a file is saved",
		Long: `Build packages and run each as a process of its own, and build and start it
again when a file that it is made of is saved. The old process goes on until the
new build has succeeded. Without a package it runs the one in this directory.

A package is a program (package main), or any package with a function

    func New() *enoki.Service

which needs no main. ` + "`dir/...`" + ` takes all such packages below dir. What follows
-- is given to every process.

With no broker named and none running for this project it runs the embedded
broker itself, for as long as it lives. The processes get the URL of the broker
as $` + brokerVariable + `. Ctrl-C lets them finish what they do; a second one kills.`,
		Example: example(
			`enoki run ./services/push ./services/register`,
			`enoki run ./services/...`,
			`enoki run ./services/api --broker amqp://localhost -- --port 5001`),
		RunE: func(cmd *cobra.Command, words []string) error {
			patterns, arguments := words, []string(nil)
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				patterns, arguments = words[:n], words[n:]
			}
			return c.runPackages(cmd.Context(), patterns, arguments, once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "don't watch files; end all when one process fails")
	return cmd
}

func (c *cli) runPackages(ctx context.Context, patterns, arguments []string, once bool) error {
	packages, err := runnable(ctx, patterns)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "enoki-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	url, shutdown, err := c.brokerForRun()
	if err != nil {
		return err
	}
	defer shutdown()
	return c.runPrograms(ctx, c.programs(packages, dir, url, arguments, once))
}

// brokerForRun finds the broker of the programs, or starts one, which
// shutdown ends.
func (c *cli) brokerForRun() (url string, shutdown func(), err error) {
	shutdown = func() {}
	if url, err := c.brokerURL(); url != "" || err != nil {
		return url, shutdown, err
	}
	p, _, err := c.place()
	if err != nil {
		return "", nil, err
	}
	if url := brokerdir.URL(p.Dir); url != "" {
		c.say("on the broker of %s", ownerOf(p))
		return url, shutdown, nil
	}
	server, err := c.startBroker("", "")
	if err != nil {
		return "", nil, err
	}
	c.say("the broker of %s runs inside this process: %s", ownerOf(p), telemetry.RedactURL(server.URL()))
	return server.URL(), server.Shutdown, nil
}

// programs makes a program of each package, with a prefix of its own.
func (c *cli) programs(packages []goPackage, dir, url string, arguments []string, isolated bool) []*program {
	names := prefixes(packages)
	lines := &lineLock{}
	env := c.programEnv(url)
	if isolated {
		env = append(env, isolatedVariable+"=true")
	}
	programs := make([]*program, len(packages))
	for i, pkg := range packages {
		programs[i] = &program{
			name: names[i], pkg: pkg, once: isolated,
			builder:   &builder{pkg: pkg, dir: dir, name: fmt.Sprintf("%d-%s", i, pkg.base())},
			arguments: arguments,
			env:       env,
			stdout:    c.prefixed(c.stdout, lines, "stdout", names, i),
			stderr:    c.prefixed(c.stderr, lines, "stderr", names, i),
			hard:      c.hard,
		}
	}
	return programs
}

// programEnv is the environment of the programs. They write to a pipe, so that
// they can't see that people read what they log.
func (c *cli) programEnv(url string) []string {
	env := append(os.Environ(), brokerVariable+"="+url)
	if _, set := os.LookupEnv(formatVariable); !set && isTerminal(c.stderr) && !c.json {
		env = append(env, formatVariable+"=pretty")
	}
	return env
}

// Variables that tell package host how to log, and that it does without
// RabbitMQ.
const (
	formatVariable   = "ENOKI_LOG_FORMAT"
	isolatedVariable = "ENOKI_ISOLATED"
)

// runPrograms runs all until each has ended. The first one that fails ends
// the others.
func (c *cli) runPrograms(ctx context.Context, programs []*program) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failures := make([]error, len(programs))
	var running sync.WaitGroup
	for i, p := range programs {
		running.Go(func() {
			if failures[i] = p.run(ctx); failures[i] != nil {
				cancel()
			}
		})
	}
	running.Wait()
	if c.hard.Err() != nil {
		return reported{exitInterrupted}
	}
	return errors.Join(failures...)
}
