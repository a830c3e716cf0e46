package host

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
)

// helpWidth is the longest line of --help.
const helpWidth = 100

func (l *layers) printHelp(w io.Writer, program string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "Usage: %s [flags]\n\nA flag counts over its variable, that over the key of the same name in the --config file.\n", program)
	if len(l.settings) > l.own {
		fmt.Fprintf(&text, "\nSettings of %s:\n", program)
		for _, s := range l.settings[l.own:] {
			s.printHelp(&text)
		}
	}
	text.WriteString("\nSettings of every host of services:\n")
	for _, s := range l.settings[:l.own] {
		s.printHelp(&text)
	}
	text.WriteString("\n  -h, --help\n      print this\n  --version\n      print the version\n" +
		"\nExit codes: 0 stopped in good order, 1 failure, 2 wrong settings, 7 broker refused or unavailable,\n" +
		"124 handlers still ran when grace was over, 130 and 143 second SIGINT or SIGTERM.\n")
	_, err := io.WriteString(w, text.String())
	return err
}

func (s *setting) printHelp(w io.Writer) {
	word, usage := s.placeholder()
	if word != "" {
		word = " " + word
	}
	if s.standard != "" && s.standard != "0s" && s.standard != "false" {
		usage += " (default " + s.standard + ")"
	}
	fmt.Fprintf(w, "  --%s%s, $%s\n", s.name, word, s.env())
	for _, line := range wrap(usage, helpWidth-6) {
		fmt.Fprintf(w, "      %s\n", line)
	}
}

// wrap breaks text at spaces into lines of at most width bytes.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// printVersion prints one line: program, version, revision, Go and platform.
func (a *App) printVersion(w io.Writer) error {
	version, revision := a.Version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if version == "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	if version == "" {
		version = "(devel)"
	}
	_, err := fmt.Fprintf(w, "%s %s%s %s %s/%s\n", a.name(), version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
