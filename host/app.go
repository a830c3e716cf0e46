package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
)

// App is a program of services with settings of its own. The zero value is
// useful. Declare the settings first, then call Main or Run once; an App must
// not be used concurrently.
//
//	var app host.App
//	store := app.String("store", "bolt:comments.db", "`URL` of the store")
//	app.Main(func() ([]*enoki.Service, error) {
//		s, err := stores.Open(*store)
//		return []*enoki.Service{register.New(s)}, err
//	})
type App struct {
	Name    string // of the program, for --help, --version and errors. Default: that of its file
	Version string // for --version. Default: what the Go tools recorded

	settings []*setting
	log      *slog.Logger // of the run; nil before
}

// Logger returns the logger of the run, in the format and at the level that
// the settings say. It may be called from when build is called; before, it is
// slog.Default().
func (a *App) Logger() *slog.Logger {
	if a.log == nil {
		return slog.Default()
	}
	return a.log
}

// Main runs services until the process is told to stop, and ends the process.
// See App.Main.
func Main(services ...*enoki.Service) {
	new(App).Main(func() ([]*enoki.Service, error) { return services, nil })
}

// String declares a setting: the flag --name, the variable ENOKI_NAME and the
// key name of the config file, in that order of weight. The result points to
// the value and may be read from when build is called. A word in backquotes in
// usage stands for the value in --help. It panics when the name is not made of
// letters, digits, '-' and '_', or is taken.
func (a *App) String(name, standard, usage string) *string {
	p := &standard
	a.declare(name, usage, textValue{p})
	return p
}

// Int declares a setting that is a whole number; see String.
func (a *App) Int(name string, standard int, usage string) *int {
	p := &standard
	a.declare(name, usage, intValue{p})
	return p
}

// Bool declares a setting that is true or false; the flag alone means true.
// See String.
func (a *App) Bool(name string, standard bool, usage string) *bool {
	p := &standard
	a.declare(name, usage, boolValue{p})
	return p
}

// Duration declares a setting such as "10s" or "1h30m"; a number without a
// unit is seconds. See String.
func (a *App) Duration(name string, standard time.Duration, usage string) *time.Duration {
	p := &standard
	a.declare(name, usage, durationValue{p})
	return p
}

// Value declares a setting of any type: a list, a mapping, a struct. v points to
// where it goes, and holds the default. In the config file it is YAML; a flag
// or a variable holds the same on one line, as in ENOKI_HOSTS='[a, b]'. Fields
// of a struct have the names of their yaml tags, else of their json tags, else
// their own in small letters; a key that no field has is a mistake. What is set
// takes the place of the default as a whole. It panics when v is no pointer;
// see String.
func (a *App) Value(name string, v any, usage string) {
	a.declare(name, usage, newAnyValue(v))
}

func (a *App) declare(name, usage string, v value) {
	s := &setting{name: name, usage: usage, value: v, standard: v.String()}
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`).MatchString(name) {
		panic(fmt.Sprintf("host: setting %q: a name is made of letters, digits, '-' and '_', a letter first", name))
	}
	taken := newLayers(a.settings).reserved()
	for _, word := range []string{name, s.env()} {
		if taken[word] {
			panic(fmt.Sprintf("host: setting %q is there already; choose another name", name))
		}
	}
	a.settings = append(a.settings, s)
}

// Main runs the services that build returns and ends the process with the
// code of ExitCode. build is called once, when the settings are known.
//
// The first SIGINT or SIGTERM stops the services in good order, as the end of
// ctx does in Run. A second one ends the process at once, with 128 and the
// signal's number: 130 or 143.
func (a *App) Main(build func() ([]*enoki.Service, error)) {
	ctx, stop := untilSignal(context.Background())
	err := a.Run(ctx, os.Args[1:], os.Stdout, os.Stderr, build)
	stop()
	os.Exit(ExitCode(err))
}

// Run is Main without the process: it takes arguments, reads the environment,
// and returns once ctx has ended and all has stopped. The log and the report
// of an error go to stderr; the answer to --help or --version goes to stdout,
// and then nothing runs.
//
// When ctx ends, /readyz answers 503, drain-delay passes, the services stop
// taking work and finish what they have, for as long as grace allows; then the
// broker is closed. The error is nil after that.
func (a *App) Run(ctx context.Context, args []string, stdout, stderr io.Writer, build func() ([]*enoki.Service, error)) error {
	began := time.Now()
	l := newLayers(a.settings)
	for _, s := range a.settings {
		if err := s.value.parse(s.standard); err != nil { // where an earlier Run left another value
			return err
		}
	}
	asked, err := l.resolve(args, os.LookupEnv, variableNames())
	switch {
	case err != nil:
		return a.refuse(stderr, err)
	case asked.help:
		return l.printHelp(stdout, a.name())
	case asked.version:
		return a.printVersion(stdout)
	}
	p := newProcess(l.config, began, stderr)
	a.log = p.log
	return p.run(ctx, build)
}

// refuse reports wrong usage.
func (a *App) refuse(stderr io.Writer, err error) error {
	for line := range strings.Lines(err.Error()) {
		if _, printed := fmt.Fprintf(stderr, "%s: %s\n", a.name(), strings.TrimSuffix(line, "\n")); printed != nil {
			return errors.Join(usageError{err}, printed)
		}
	}
	return usageError{err}
}

func (a *App) name() string {
	if a.Name != "" {
		return a.Name
	}
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
}

// usageError is a mistake in the settings.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

const exitUsage = 2

// ExitCode returns what a process ends with after Run has returned err: 0 for
// nil, 2 for wrong settings, and otherwise what enoki.Code.ExitCode says of
// the error's code, which is 1 for an error without one.
func ExitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return enoki.CodeOf(err).ExitCode()
}
