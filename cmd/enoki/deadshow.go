package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/deadletter"
)

func (c *cli) deadShowCommand(o *deadOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID|GROUP...",
		Short: "Show a dead letter, or list those of a group",
		Example: example(
			`enoki dead show 5m2kq7xw3dza`,
			`enoki dead show g1b8d0f3a`,
			`enoki dead show g1b8d0f3a --json | jq .body`),
		Args:              atLeast(1),
		ValidArgsFunction: c.completeDead(o, true),
		RunE: func(cmd *cobra.Command, words []string) error {
			return c.withDead(cmd.Context(), o, words, c.showDead)
		},
	}
}

// showDead shows letters that were named one by one, and lists those that were
// not.
func (c *cli) showDead(ctx context.Context, client *enoki.Client, o *deadOptions) error {
	seen := map[string]bool{}
	var single, listed []*deadletter.Letter
	for l, err := range deadletter.All(ctx, client, o.filter) {
		if err != nil {
			return err
		}
		seen[l.ID], seen[l.Group] = true, true
		switch {
		case c.json:
			if err := writeJSON(c.stdout, describe(l)); err != nil {
				return err
			}
		case len(o.filter.Groups) == 0:
			single = append(single, l)
		default:
			l.Message.Body, l.Message.Context = nil, nil // a group may be large
			listed = append(listed, l)
		}
	}
	for i, l := range single {
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		if err := writeLetter(c.stdout, l); err != nil {
			return err
		}
	}
	if len(listed) > 0 {
		if err := writeLetters(c.stdout, listed); err != nil {
			return err
		}
	}
	return missed(o.words, seen)
}

// writeLetters writes a row for each letter.
func writeLetters(w io.Writer, letters []*deadletter.Letter) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LETTER\tDIED\tATTEMPTS\tREVIVED\tHANDLER\tFAILURE\tREASON")
	for _, l := range letters {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", l.ID, moment(l.Died), l.Attempts, l.Revived,
			shortened(l.Service+"."+l.Handler, reasonWidth), shortened(l.Kind, reasonWidth), shortened(l.Reason, reasonWidth))
	}
	return table.Flush()
}

// writeLetter writes all of one letter.
func writeLetter(w io.Writer, l *deadletter.Letter) error {
	var text strings.Builder
	line := func(name, format string, a ...any) {
		if value := fmt.Sprintf(format, a...); value != "" {
			fmt.Fprintf(&text, "%-9s %s\n", name, strings.ReplaceAll(value, "\n", "\n          "))
		}
	}
	line("letter", "%s", l.ID)
	line("group", "%s", l.Group)
	line("handler", "%s.%s", l.Service, l.Handler)
	if l.Event != "" {
		line("event", "%s.%s", l.Source, l.Event)
	}
	line("message", "%s", l.Message.ID)
	line("failure", "%s", l.Kind)
	line("reason", "%s", l.Reason)
	line("attempts", "%d", l.Attempts)
	if l.Revived > 0 {
		line("revived", "%d", l.Revived)
	}
	line("first", "%s", moment(l.First))
	line("died", "%s", moment(l.Died))
	line("trace", "%s", l.TraceID())
	line("calls", "%s", strings.Join(l.CallStack(), "\n"))
	if context, err := json.Marshal(l.Message.Context); err == nil && len(l.Message.Context) > 0 {
		line("context", "%s", context)
	}
	line("type", "%s", l.Message.ContentType)
	text.WriteString(bodyText(l))
	_, err := fmt.Fprintln(w, harmless(text.String()))
	return err
}

// bodyText returns the body as people read and edit it; one that is no JSON is
// a text in quotes.
func bodyText(l *deadletter.Letter) string {
	body, err := l.JSON()
	if err != nil {
		body, _ = json.Marshal(string(l.Message.Body)) // a string always has a JSON form
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") != nil {
		return string(body)
	}
	return pretty.String()
}

// describedLetter is a dead letter as --json shows it.
type describedLetter struct {
	ID       string    `json:"id"`
	Group    string    `json:"group"`
	Service  string    `json:"service"`
	Handler  string    `json:"handler"`
	Source   string    `json:"source,omitempty"`
	Event    string    `json:"event,omitempty"`
	Kind     string    `json:"kind"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Revived  int       `json:"revived"`
	First    time.Time `json:"first"`
	Died     time.Time `json:"died"`

	Message     string          `json:"message"` // its id
	Trace       string          `json:"trace,omitempty"`
	Calls       []string        `json:"calls,omitempty"`
	Context     json.RawMessage `json:"context,omitempty"`
	ContentType string          `json:"content_type,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
	Bytes       []byte          `json:"bytes,omitempty"` // of a body that is no JSON
}

func describe(l *deadletter.Letter) describedLetter {
	d := describedLetter{
		ID: l.ID, Group: l.Group, Service: l.Service, Handler: l.Handler, Source: l.Source, Event: l.Event,
		Kind: l.Kind, Reason: l.Reason, Attempts: l.Attempts, Revived: l.Revived, First: l.First, Died: l.Died,
		Message: l.Message.ID, Trace: l.TraceID(), Calls: l.CallStack(), ContentType: l.Message.ContentType,
	}
	if len(l.Message.Context) > 0 {
		// A value that JSON can't hold, such as NaN, is no reason to show nothing.
		d.Context, _ = json.Marshal(l.Message.Context)
	}
	body, err := l.JSON()
	if err != nil {
		d.Bytes = l.Message.Body
	} else {
		d.Body = body
	}
	return d
}

// oneLetter returns the dead letter with the only id.
func oneLetter(ctx context.Context, client *enoki.Client, o *deadOptions) (found *deadletter.Letter, err error) {
	if len(o.filter.Groups) > 0 {
		return nil, usageError{errors.New("name one letter; `enoki dead show GROUP` lists those of a group")}
	}
	for l, err := range deadletter.All(ctx, client, o.filter) {
		if err != nil {
			return nil, err
		}
		found = l // and the loop ends: it is the only one
	}
	if found == nil {
		return nil, missed(o.words, nil)
	}
	return found, nil
}
