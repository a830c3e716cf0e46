package interop_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
)

// configBehaviours are configuration files.
func configBehaviours() []*behaviour {
	return []*behaviour{
		{id: "C73", title: "YAML files with variables, defaults, tags and nesting", lacks: servicesOnly, run: configFiles},
	}
}

// environment is what the files refer to.
var environment = map[string]string{
	"INTEROP_TEXT": "abc", "INTEROP_EMPTY": "", "INTEROP_NUMBER": "5", "INTEROP_LEADING": "007",
	"INTEROP_REF": "${INTEROP_TEXT}", "INTEROP_URL": "http://h:1/p?q=1",
}

func configFiles(x *trial) {
	for text, want := range map[string]string{
		`plain`:                          "plain",
		`5`:                              "5",
		`${INTEROP_TEXT}`:                "abc",
		`${INTEROP_TEXT:other}`:          "abc",
		`${INTEROP_NONE:other}`:          "other",
		`${INTEROP_NONE:}`:               "",
		`${INTEROP_NONE}`:                "",
		`${INTEROP_EMPTY:other}`:         "",
		`${INTEROP_NUMBER}`:              "5",
		`${INTEROP_URL}`:                 "http://h:1/p?q=1",
		`a${INTEROP_TEXT}b`:              "aabcb",
		`${INTEROP_TEXT}${INTEROP_TEXT}`: "abcabc",
		`${INTEROP_TEXT}-${INTEROP_NUMBER}-${INTEROP_NONE:x}`: "abc-5-x",
		`${INTEROP_REF}`:                          "abc",
		`"${INTEROP_TEXT}"`:                       "${INTEROP_TEXT}",
		`'${INTEROP_TEXT}'`:                       "${INTEROP_TEXT}",
		`!env_var "${INTEROP_TEXT}"`:              "abc",
		`!env_var "${INTEROP_NONE:other}"`:        "other",
		`!raw_env_var "${INTEROP_NUMBER}"`:        "5",
		`!raw_env_var "${INTEROP_LEADING}"`:       "007",
		`!raw_env_var ${INTEROP_TEXT}`:            "abc",
		`${INTEROP_NONE:x${INTEROP_TEXT}}`:        "xabc",
		`${INTEROP_NONE:${INTEROP_NOR:deep}}`:     "deep",
		`${INTEROP_NONE:http://h/{path}}`:         "http://h/{path}",
		`${INTEROP_NONE:http://${INTEROP_TEXT}/}`: "http://abc/",
		`$INTEROP_TEXT`:                           "$INTEROP_TEXT",
		`${INTEROP_NONE:a:b}`:                     "a:b",
		`amqp://${INTEROP_NONE:guest}:${INTEROP_NOR:guest}@${INTEROP_TEXT}/`: "amqp://guest:guest@abc/",
	} {
		if got := x.configured(text); got != want {
			x.Fatalf("%s is read as %q, want %q", text, got, want)
		}
	}
}

// configured returns the value of a setting that a file gives, as text.
func (x *trial) configured(text string) string {
	x.Helper()
	if x.serviceLanguage == golang {
		return x.configuredInGo(text)
	}
	out, err := x.service.(*pythonPeer).do("yaml", map[string]any{"text": "value: " + text})
	x.must(err)
	var file struct{ Value json.RawMessage }
	x.must(json.Unmarshal(out, &file))
	if string(file.Value) == "null" {
		return ""
	}
	var value string
	if json.Unmarshal(file.Value, &value) != nil {
		return string(file.Value) // a number
	}
	return value
}

var errRead = errors.New("the settings have been read")

func (x *trial) configuredInGo(text string) string {
	x.Helper()
	file := filepath.Join(x.TempDir(), "config.yaml")
	x.must(os.WriteFile(file, []byte("value: "+text+"\n"), 0o600))
	var app host.App
	value := app.String("value", "", "a `text`")
	var complaints strings.Builder
	err := app.Run(x.Context(), []string{"--config", file}, io.Discard, &complaints, func() ([]*enoki.Service, error) { return nil, errRead })
	if !errors.Is(err, errRead) {
		x.Fatalf("%s: %v\n%s", text, err, complaints.String())
	}
	return *value
}
