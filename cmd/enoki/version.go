package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this command",
		Example: example(`enoki version`, `enoki version --json`),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo() // nil in no binary that go builds from a module
			return c.printVersion(describeBuild(info))
		},
	}
}

// build says what this binary was made of.
type build struct {
	Version  string `json:"version"`            // of the module; (devel) from a checkout
	Revision string `json:"revision,omitempty"` // of the checkout, where it was stamped
	Modified bool   `json:"modified,omitempty"` // the checkout had changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func describeBuild(info *debug.BuildInfo) build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

func (c *cli) printVersion(b build) error {
	if c.json {
		return writeJSON(c.stdout, b)
	}
	_, err := fmt.Fprintf(c.stdout, "enoki %s %s %s\n", b.Version, b.Go, b.Platform)
	return err
}
