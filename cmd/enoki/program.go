package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// program is a package that is built, run, and built and run again.
type program struct {
	name           string
	pkg            goPackage
	builder        *builder
	once           bool // don't watch
	arguments, env []string
	stdout, stderr *lineWriter     // with a prefix
	hard           context.Context // ends when it has to end at once

	running *process // nil when none does
	watch   *watch   // nil when once
}

// run runs the program until ctx ends, or, when it runs once, until it ends
// itself. The error is the last thing that went wrong with it.
func (p *program) run(ctx context.Context) error {
	if p.once {
		return p.runOnce(ctx)
	}
	watch, err := newWatch()
	if err != nil {
		return fmt.Errorf("watch files: %w; --once does without", err)
	}
	defer watch.close()
	p.watch = watch
	p.renew(ctx)
	for {
		select {
		case <-ctx.Done():
			return p.stop()
		case <-p.watch.changed:
			p.renew(ctx)
		case <-p.running.ended():
			p.say("ended: %s; it starts again when a file is saved", p.running.state())
			p.running = nil
		}
	}
}

func (p *program) runOnce(ctx context.Context) error {
	binary, err := p.builder.build(ctx)
	if err != nil {
		return p.showBuildError(ctx, err)
	}
	if p.running, err = p.start(binary); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return p.stop()
	case <-p.running.ended():
		return p.running.failure()
	}
}

// renew builds the program and puts the new one in the place of the one that
// runs; after a failed build that one goes on.
func (p *program) renew(ctx context.Context) {
	if err := p.watch.follow(ctx, p.pkg); err != nil && ctx.Err() == nil {
		p.say("watch files: %v", err)
	}
	p.say("building")
	binary, err := p.builder.build(ctx)
	if err != nil {
		_ = p.showBuildError(ctx, err) // the user mends it, and saves
		return
	}
	if err := p.stop(); err != nil && ctx.Err() == nil {
		p.say("the old process ended with %v", err)
	}
	if ctx.Err() != nil {
		return
	}
	if p.running, err = p.start(binary); err != nil {
		p.say("%v", err)
	}
}

// showBuildError shows what the compiler said, and returns an error for the
// exit code.
func (p *program) showBuildError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil // stopped meanwhile
	}
	var compiler compileError
	if errors.As(err, &compiler) {
		fmt.Fprintln(p.stderr, compiler.said)
	} else {
		p.say("%v", err)
	}
	if p.running != nil {
		p.say("build failed; the old process goes on")
	} else {
		p.say("build failed")
	}
	return reported{1}
}

func (p *program) start(binary string) (*process, error) {
	cmd := exec.Command(binary, p.arguments...)
	cmd.Env = p.env
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	running, err := startProcess(cmd, func() { p.stdout.flush(); p.stderr.flush() })
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	p.say("started, process %d", cmd.Process.Pid)
	return running, nil
}

// stop ends the process, if one runs, and removes its file.
func (p *program) stop() error {
	if p.running == nil {
		return nil
	}
	old := p.running
	p.running = nil
	err := old.stop(p.hard)
	_ = os.Remove(old.cmd.Path) // the directory goes in the end anyway
	return err
}

func (p *program) say(format string, a ...any) {
	fmt.Fprintf(p.stderr, "enoki run: "+format+"\n", a...)
}
