package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// cli is one run of the command: where it reads and writes, and the flags
// that all subcommands share.
type cli struct {
	stdin  io.Reader
	stdout io.Writer       // data
	stderr io.Writer       // talk
	hard   context.Context // ends when the user wants to stop at once

	editor     string        // command that edits a file; empty means $VISUAL, $EDITOR or what the system has
	completing time.Duration // how long a shell waits for words from the broker, at most

	broker      string // URL, when it was given; else $ENOKI_BROKER or the one of this project counts
	brokerGiven bool
	json        bool
}

func newCLI(hard context.Context, stdin io.Reader, stdout, stderr io.Writer) *cli {
	return &cli{hard: hard, stdin: stdin, stdout: stdout, stderr: stderr, completing: completeTimeout}
}

// run runs the subcommand that args name until it ends or ctx does, and
// returns the exit code.
func (c *cli) run(ctx context.Context, args []string) int {
	root := c.command()
	root.SetArgs(args)
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	understood := false
	given := root.PersistentFlags().Lookup("broker")
	root.PersistentPreRun = func(*cobra.Command, []string) { understood, c.brokerGiven = true, given.Changed }
	err := root.ExecuteContext(ctx)
	if err != nil && !understood {
		err = usageError{err}
	}
	return c.report(err)
}

func (c *cli) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "enoki",
		Short: "Run and inspect microservices on a message broker",
		Example: `  enoki run ./services/push ./services/register
  enoki services
  enoki call register.check_registered u_id=7434029
  enoki listen comments.posted`,
		SilenceErrors: true, // report prints them, with their code
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&c.broker, "broker", "", "URL of the broker: nats://…, amqp://… (default $ENOKI_BROKER, else the broker of this project)")
	root.PersistentFlags().BoolVar(&c.json, "json", false, "write JSON, for programs")
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(helpTemplate)
	root.AddCommand(c.runCommand(), c.brokerCommand(), c.servicesCommand(), c.callCommand(),
		c.emitCommand(), c.listenCommand(), c.deadCommand(), c.contractCommand(), c.permsCommand(), c.shadowCommand(), c.versionCommand())
	return root
}

// helpTemplate is cobra's with the examples first: they are what most people
// look for.
const helpTemplate = `{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}
{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}
Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} {{if .Runnable}}[COMMAND]{{else}}COMMAND{{end}}{{else}}{{.UseLine}}{{end}}
{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}`

// example indents the lines of a command's examples as help shows them.
func example(lines ...string) string { return "  " + strings.Join(lines, "\n  ") }

// withTimeout gives a command the time its --timeout flag says.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, context.DeadlineExceeded)
}

var errNoArguments = errors.New("arguments are missing; --help shows examples")

// atLeast is cobra.MinimumNArgs with a message for people.
func atLeast(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return errNoArguments
		}
		return nil
	}
}
