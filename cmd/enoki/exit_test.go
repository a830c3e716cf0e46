package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/fault"
)

// TestCodeIsSaidOnce has errors whose text begins with their code, or with a
// class that says the same.
func TestCodeIsSaidOnce(t *testing.T) {
	for want, err := range map[string]error{
		"enoki: not_found: no user 7\n":                  enoki.Errorf(enoki.NotFound, "no user 7"),
		"enoki: not_found: no user 8\n":                  fault.Types{}.Answer(enoki.Errorf(enoki.NotFound, "no user 8")),
		"enoki: not_found\n":                             enoki.NotFound,
		"enoki: already_exists\n":                        fault.Types{}.Answer(enoki.AlreadyExists),
		"enoki: method_not_found: x\n":                   enoki.Errorf(enoki.MethodNotFound, "MethodNotFound: x"),
		"enoki: unavailable: down\n":                     enoki.Errorf(enoki.Unavailable, "%w: down", enoki.Unavailable),
		"enoki: unknown: it broke\n":                     fault.Types{}.Answer(errors.New("it broke")),
		"enoki: unknown: ErrorInWord: it broke\n":        errors.New("ErrorInWord: it broke"),
		"enoki: not_found: RemoteError: NotFound no s\n": fault.Types{}.Answer(fault.Types{}.Answer(enoki.Errorf(enoki.NotFound, "no s"))),
	} {
		var out bytes.Buffer
		c := &cli{stderr: &out}
		c.report(err)
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}
