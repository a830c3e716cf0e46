package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/enoki-go/enoki"
)

const (
	exitUsage       = 2   // the command line is wrong; no Code has it
	exitInterrupted = 130 // as shells say it: 128 and SIGINT's number
)

// usageError says that the command line is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// reported is an error that the user has seen already; only its exit code
// counts.
type reported struct{ code int }

func (e reported) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// report tells the user of err and returns the exit code that stands for it.
func (c *cli) report(err error) int {
	var usage usageError
	var done reported
	switch {
	case err == nil:
		return 0
	case errors.As(err, &done):
		return done.code
	case errors.As(err, &usage):
		c.complain("usage", err)
		return exitUsage
	}
	code := enoki.CodeOf(err)
	c.complain(string(code), err)
	return code.ExitCode()
}

func (c *cli) complain(code string, err error) {
	text := textBeside(code, err)
	if !c.json {
		fmt.Fprintf(c.stderr, "enoki: %s\n", strings.TrimSuffix(code+": "+text, ": "))
		return
	}
	failure := jsonError{Code: code, Message: text}
	if remote, ok := errors.AsType[*enoki.Error](err); ok && remote != nil {
		failure.Type, failure.Args = remote.Type, remote.Args
	}
	line, encodeErr := json.Marshal(map[string]jsonError{"error": failure})
	if encodeErr != nil { // an argument of the error that JSON can't hold
		line, _ = json.Marshal(map[string]jsonError{"error": {Code: code, Message: text}})
	}
	fmt.Fprintf(c.stderr, "%s\n", line)
}

// textBeside returns the text of an error that stands beside its code, without
// the code, and without a class that says no more than the code.
func textBeside(code string, err error) string {
	class := strings.ReplaceAll(code, "_", "")
	if code == string(enoki.Unknown) {
		class = "Error"
	}
	text := strings.TrimSpace(err.Error())
	for _, word := range []string{class, code} {
		if n := len(word); len(text) >= n && strings.EqualFold(text[:n], word) {
			if rest := text[n:]; rest == "" || strings.HasPrefix(rest, ": ") {
				text = strings.TrimPrefix(rest, ": ")
			}
		}
	}
	return text
}

// jsonError is an error as --json writes it to stderr.
type jsonError struct {
	Code    string `json:"code"`
	Type    string `json:"type,omitempty"` // the class of a service's error
	Args    []any  `json:"args,omitempty"`
	Message string `json:"message"`
}
