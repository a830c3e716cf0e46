package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/deadletter"
	"github.com/enoki-go/enoki/serializer"
)

// deadOptions are the flags that all of enoki dead share, and what is read
// from them and the words after them.
type deadOptions struct {
	service, handler string
	since, until     string

	words  []string // ids of letters and groups
	filter deadletter.Filter
}

func (c *cli) deadCommand() *cobra.Command {
	o := &deadOptions{}
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "List, show, retry, edit and discard dead letters",
		Long: `List the dead letters: messages that no attempt could handle. Those that failed
alike are one group: of one handler, one kind of failure, and with reasons that
differ at most in numbers, ids and what stands in quotes.

A time is a date, as 2026-11-25 or "2026-11-25 10:30" (of this machine) or
2026-11-25T10:30:00Z, or how long ago it was, as 90m.`,
		Example: example(
			`enoki dead`,
			`enoki dead show g1b8d0f3a`,
			`enoki dead retry g1b8d0f3a`,
			`enoki dead edit 5m2kq7xw3dza`,
			`enoki dead discard --service push --until 720h`),
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDead(cmd.Context(), o, nil, c.listDead)
		},
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.service, "service", "", "only those of this service")
	flags.StringVar(&o.handler, "handler", "", "only those of this handler")
	flags.StringVar(&o.since, "since", "", "only those that died at this `time` or later")
	flags.StringVar(&o.until, "until", "", "only those that died before this `time`")
	_ = cmd.RegisterFlagCompletionFunc("service", c.completeService) // fails only when there is no such flag
	cmd.AddCommand(c.deadShowCommand(o), c.deadRetryCommand(o), c.deadEditCommand(o), c.deadDiscardCommand(o))
	return cmd
}

// noWords is cobra.NoArgs that says what there is.
func noWords(cmd *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	return fmt.Errorf("%s knows no command %q; to see a letter or a group write %s show %s", cmd.CommandPath(), words[0], cmd.CommandPath(), words[0])
}

// withDead connects and does something about the dead letters that the flags
// and words mean.
func (c *cli) withDead(ctx context.Context, o *deadOptions, words []string, do func(context.Context, *enoki.Client, *deadOptions) error) error {
	if err := o.read(words, time.Now()); err != nil {
		return err
	}
	dialing, cancel := withTimeout(ctx, listTimeout)
	defer cancel()
	b, err := c.connect(dialing)
	if err != nil {
		return err
	}
	defer b.Close()
	options := c.options()
	options.Accept = []enoki.Serializer{serializer.MsgPack(), serializer.YAML()}
	return do(ctx, enoki.NewClient(b, options), o)
}

var groupID = regexp.MustCompile(`^g[0-9a-f]{8}$`)

// read makes the filter of flags and words.
func (o *deadOptions) read(words []string, now time.Time) error {
	o.words = words
	o.filter = deadletter.Filter{Service: o.service, Handler: o.handler}
	for _, word := range words {
		if groupID.MatchString(word) {
			o.filter.Groups = append(o.filter.Groups, word)
		} else {
			o.filter.IDs = append(o.filter.IDs, word)
		}
	}
	for name, flag := range map[string]struct {
		text string
		to   *time.Time
	}{"since": {o.since, &o.filter.Since}, "until": {o.until, &o.filter.Until}} {
		at, err := parseTime(flag.text, now)
		if err != nil {
			return usageError{fmt.Errorf("--%s %w", name, err)}
		}
		*flag.to = at
	}
	return nil
}

// parseTime reads a date, with or without a time of day, or how long ago it
// was. An empty text is the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	at, err := parseDate(text)
	if err != nil {
		return at, fmt.Errorf("%w or, for so long ago, 90m", err)
	}
	return at, nil
}

// parseDate reads a date, with or without a time of day.
func parseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write 2026-11-25, \"2026-11-25 10:30\", 2026-11-25T10:30:00Z", text)
}

// picksAll tells whether nothing was said about which letters are meant.
func (o *deadOptions) picksAll() bool {
	return len(o.words) == 0 && o.service == "" && o.handler == "" && o.since == "" && o.until == ""
}

func (c *cli) listDead(ctx context.Context, client *enoki.Client, o *deadOptions) error {
	groups, err := deadletter.Groups(ctx, client, o.filter)
	if err != nil {
		return err
	}
	if c.json {
		return writeJSON(c.stdout, groups)
	}
	if len(groups) == 0 {
		c.say("no dead letters")
		return nil
	}
	return writeGroups(c.stdout, groups)
}

func writeGroups(w io.Writer, groups []deadletter.Group) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "GROUP\tCOUNT\tFIRST\tLAST\tHANDLER\tFAILURE\tREASON")
	for _, g := range groups {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", g.ID, g.Count, moment(g.First), moment(g.Last),
			shortened(g.Service+"."+g.Handler, reasonWidth), shortened(g.Kind, reasonWidth), shortened(g.Reason, reasonWidth))
	}
	return table.Flush()
}

// reasonWidth is how much of a reason a row of a table shows.
const reasonWidth = 80

func moment(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.Local().Format(time.DateTime)
}

// shortened returns text on one line and of at most width characters.
func shortened(text string, width int) string {
	runes := []rune(harmless(strings.Join(strings.Fields(text), " ")))
	if len(runes) > width {
		runes = append(runes[:width-1], '…')
	}
	return string(runes)
}

// harmless returns text without what steers a terminal: it may come from
// anybody.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// missed says which of the words named no letter.
func missed(words []string, seen map[string]bool) error {
	absent := slices.DeleteFunc(slices.Clone(words), func(word string) bool { return seen[word] })
	if len(absent) == 0 {
		return nil
	}
	return enoki.Errorf(enoki.NotFound, "no dead letter %s; `enoki dead` lists those that are there", strings.Join(absent, ", "))
}
