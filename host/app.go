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
// useful. Declare the settings first, then call Main or Run once. An App must
// not be used concurrently.
//
//	var app host.App
//	store := app.String("store", "bolt:comments.db", "`URL` of the store")
//	app.Main(func() ([]*enoki.Service, error) {
//		s, err := stores.Open(*store)
//		return []*enoki.Service{register.New(s)}, err
//	})
type App struct {
	Name    string // the program's name, for --help, --version and errors. Default: the name of its file
	Version string // the program's version, for --version. Default: what the Go tools recorded

	settings []*setting
	log      *slog.Logger // of the run; nil before
}

// Logger returns the logger of the run, with the format and the level of the
// settings. It may be called once build is called. Before that, it returns
// slog.Default().
func (a *App) Logger() *slog.Logger {
	if a.log == nil {
		return slog.Default()
	}
	return a.log
}

// Main runs services until the process is told to stop. Then it ends the
// process, so it never returns. See App.Main.
func Main(services ...*enoki.Service) {
	new(App).Main(func() ([]*enoki.Service, error) { return services, nil })
}

// String declares a setting. The flag --name sets it, or else the variable
// ENOKI_NAME, or else the key name of the config file. The result points to the
// value, which may be read once build is called. A word in backquotes in usage
// stands for the value in --help. String panics if name has other characters
// than letters, digits, '-' and '_', or is taken.
func (a *App) String(name, standard, usage string) *string {
	p := &standard
	a.declare(name, usage, textValue{p})
	return p
}

// Int declares a setting that is a whole number. See String.
func (a *App) Int(name string, standard int, usage string) *int {
	p := &standard
	a.declare(name, usage, intValue{p})
	return p
}

// Bool declares a setting that is true or false. The flag alone means true. See
// String.
func (a *App) Bool(name string, standard bool, usage string) *bool {
	p := &standard
	a.declare(name, usage, boolValue{p})
	return p
}

// Duration declares a setting such as "10s" or "1h30m". A number without a unit
// means seconds. See String.
func (a *App) Duration(name string, standard time.Duration, usage string) *time.Duration {
	p := &standard
	a.declare(name, usage, durationValue{p})
	return p
}

// Value declares a setting of any type: a list, a mapping, a struct. v points
// to the value and holds the default. In the config file it is YAML. A flag or
// a variable holds the same on one line, as in ENOKI_HOSTS='[a, b]'. The fields
// of a struct have the names of their yaml tags, or else of their json tags, or
// else their own names in small letters. A key without a field is a mistake. A
// value that is set replaces the default as a whole. Value panics if v is not a
// pointer. See String.
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

// Main runs the services that build returns. Then it ends the process with the
// code of ExitCode, so it never returns. build is called once, when the
// settings are known.
//
// The first SIGINT or SIGTERM stops the services in good order, like the end of
// ctx in Run. A second one ends the process at once, with 128 and the signal's
// number: 130 or 143.
func (a *App) Main(build func() ([]*enoki.Service, error)) {
	ctx, stop := untilSignal(context.Background())
	err := a.Run(ctx, os.Args[1:], os.Stdout, os.Stderr, build)
	stop()
	os.Exit(ExitCode(err))
}

// Run is like Main, without the process. It takes the arguments, reads the
// environment, and blocks until ctx has ended and everything has stopped. The
// log and the report of an error go to stderr. For --help and --version it
// writes to stdout and runs nothing.
//
// When ctx ends, /readyz responds with 503, and drain-delay passes. Then the
// services take no more work and finish what they have, for as long as grace
// allows. Then the broker is closed. The error is nil after that.
func (a *App) Run(ctx context.Context, args []string, stdout, stderr io.Writer, build func() ([]*enoki.Service, error)) error {
	began := time.Now()
	l := newLayers(a.settings)
	for _, s := range a.settings {
		if err := s.value.parse(s.standard); err != nil { // an earlier Run may have left another value
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

// ExitCode returns the code with which a process ends after Run has returned
// err. It is 0 for nil, 2 for wrong settings, and enoki.Code.ExitCode of the
// error's code otherwise. That is 1 for an error without a code.
func ExitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return enoki.CodeOf(err).ExitCode()
}
