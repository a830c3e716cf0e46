package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/deadletter"
)

func (c *cli) deadEditCommand(o *deadOptions) *cobra.Command {
	var body string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "edit ID",
		Short: "Edit the body of a dead letter and retry it",
		Long: `Open the body of a dead letter as JSON in $VISUAL or $EDITOR, and send it back to
its handler as it is when the editor ends. A body that was not changed is not
sent. --body takes the new body from a file, or with - from stdin.`,
		Example: example(
			`enoki dead edit 5m2kq7xw3dza`,
			`enoki dead show 5m2kq7xw3dza --json | jq '.body.lang = "de" | .body' | enoki dead edit 5m2kq7xw3dza --body -`),
		Args:              exactlyOneLetter,
		ValidArgsFunction: c.completeDead(o, false),
		RunE: func(cmd *cobra.Command, words []string) error {
			return c.withDead(cmd.Context(), o, words, func(ctx context.Context, client *enoki.Client, o *deadOptions) error {
				return c.editDead(ctx, client, o, body, dryRun)
			})
		},
	}
	cmd.Flags().StringVar(&body, "body", "", "take the new body from this `FILE`, - for stdin")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the new body and send nothing")
	return cmd
}

func exactlyOneLetter(_ *cobra.Command, words []string) error {
	if len(words) != 1 {
		return errors.New("name one dead letter; `enoki dead show GROUP` lists those of a group")
	}
	return nil
}

// editDead edits while it holds no letter, because others would wait for it,
// and then looks for the letter again.
func (c *cli) editDead(ctx context.Context, client *enoki.Client, o *deadOptions, from string, dryRun bool) error {
	l, err := oneLetter(ctx, client, o)
	if err != nil {
		return err
	}
	edited, file, err := c.newBody(ctx, l, from)
	if err != nil || edited == nil {
		return err
	}
	if dryRun {
		return c.printResult(edited)
	}
	err = retryWith(ctx, client, o, edited)
	if err != nil && file != "" {
		return fmt.Errorf("%w (what you wrote is in %s)", err, file)
	}
	if err != nil {
		return err
	}
	if file != "" {
		_ = os.Remove(file) // it was for this only
	}
	if c.json {
		return writeJSON(c.stdout, map[string]any{"retried": 1, "failed": []deadFailure{}})
	}
	c.say("retried 1 dead letter")
	return nil
}

func retryWith(ctx context.Context, client *enoki.Client, o *deadOptions, body json.RawMessage) error {
	for l, err := range deadletter.All(ctx, client, o.filter) {
		if err == nil {
			err = l.SetJSON(body)
		}
		if err == nil {
			err = l.Retry(ctx)
		}
		return err
	}
	return missed(o.words, nil)
}

// newBody returns the new body of l and the file that it was edited in, if
// there is one. The body is nil when it was not changed.
func (c *cli) newBody(ctx context.Context, l *deadletter.Letter, from string) (body json.RawMessage, file string, err error) {
	var text []byte
	switch from {
	case "":
		text, file, err = c.edit(ctx, l)
	case "-":
		text, err = io.ReadAll(c.stdin)
	default:
		text, err = os.ReadFile(from)
	}
	if err != nil {
		return nil, file, err
	}
	text = bytes.TrimSpace(text)
	if from == "" && string(text) == strings.TrimSpace(bodyText(l)) {
		c.say("nothing was changed, so nothing was sent; `enoki dead retry %s` sends it as it is", l.ID)
		return nil, "", os.Remove(file)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		err = fmt.Errorf("the new body is not JSON: %w", err)
		if file != "" {
			err = fmt.Errorf("%w; correct it in %s and give it by --body", err, file)
		}
		return nil, file, enoki.Errorf(enoki.InvalidArgument, "%w", err)
	}
	return compact.Bytes(), file, nil
}

// edit opens an editor on the body and returns what it has left in the file.
func (c *cli) edit(ctx context.Context, l *deadletter.Letter) (text []byte, file string, err error) {
	f, err := os.CreateTemp("", "enoki-dead-"+l.ID+"-*.json") // for this user's eyes only
	if err != nil {
		return nil, "", err
	}
	file = f.Name()
	_, err = f.WriteString(bodyText(l) + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, "", err
	}
	words := strings.Fields(cmp.Or(c.editor, editor()))
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], file)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, c.stdout, c.stderr
	if err := cmd.Run(); err != nil {
		return nil, "", fmt.Errorf("editor %q: %w; set $EDITOR to yours, or give the new body by --body", words[0], err)
	}
	text, err = os.ReadFile(file)
	return text, file, err
}

// editor is the one that the user wants, or the one that is always there.
func editor() string {
	for _, variable := range []string{"VISUAL", "EDITOR"} {
		if name := strings.TrimSpace(os.Getenv(variable)); name != "" {
			return name
		}
	}
	if runtime.GOOS == "windows" {
		return "notepad"
	}
	return "vi"
}
