package host

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/enoki-go/enoki/internal/closest"
)

// layers brings together what was set where: flags count over the
// environment, the environment over the file, the file over the defaults.
type layers struct {
	config   *config
	settings []*setting // ours, then those of the program
	own      int        // how many of them are ours
	file     *setting
	filePath string
}

// newLayers takes the settings of the program beside those of every host.
func newLayers(program []*setting) *layers {
	c := defaultConfig()
	l := &layers{config: c}
	l.file = &setting{name: "config", value: textValue{&l.filePath}, usage: "YAML `file` with these settings, or one of Nameko's"}
	l.settings = append(c.settings(), l.file)
	l.own = len(l.settings)
	for _, s := range l.settings {
		s.standard = s.value.String()
	}
	for _, s := range program {
		mine := *s
		l.settings = append(l.settings, &mine)
	}
	return l
}

func (l *layers) byName(name string) *setting {
	for _, s := range l.settings {
		if s.name == name {
			return s
		}
	}
	return nil
}

// request is what a command line asks for instead of running.
type request struct{ help, version bool }

// resolve sets every setting. variables are the names that env has. Its error
// names all that is wrong, each with its place.
func (l *layers) resolve(args []string, env environment, variables []string) (request, error) {
	flags, asked, err := l.parseFlags(args)
	if err != nil || asked.help || asked.version {
		return asked, err
	}
	mistakes := []error{l.applyFile(flags, env), l.applyEnv(env), l.applyFlags(flags), l.checkVariables(env, variables)}
	if l.config.tls {
		l.config.broker = askForTLS(l.config.broker)
	}
	if err := errors.Join(mistakes...); err != nil {
		return asked, err
	}
	for _, s := range l.settings {
		mistakes = append(mistakes, s.verify())
	}
	return asked, errors.Join(mistakes...)
}

// parseFlags returns the text of the flags that were given.
func (l *layers) parseFlags(args []string) (map[string]string, request, error) {
	var asked request
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.SortFlags = false
	set.Usage = func() {}
	set.BoolVarP(&asked.help, "help", "h", false, "")
	set.BoolVar(&asked.version, "version", false, "")
	for _, s := range l.settings {
		set.String(s.name, "", "")
		if s.isBool() {
			set.Lookup(s.name).NoOptDefVal = "true"
		}
	}
	if err := set.Parse(args); err != nil {
		return nil, asked, l.flagError(err)
	}
	if set.NArg() > 0 {
		return nil, asked, fmt.Errorf("argument %q is not wanted; settings are flags, such as --broker URL", set.Arg(0))
	}
	given := map[string]string{}
	set.Visit(func(f *pflag.Flag) { given[f.Name] = f.Value.String() })
	return given, asked, nil
}

func (l *layers) flagError(err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := unknown.GetSpecifiedName()
	var known []string
	for _, s := range l.settings {
		known = append(known, "--"+s.name)
	}
	return fmt.Errorf("unknown flag --%s%s", name, didYouMean("--"+name, append(known, "--help", "--version")))
}

func (l *layers) applyFlags(flags map[string]string) error {
	var mistakes []error
	for _, s := range l.settings {
		if text, given := flags[s.name]; given {
			mistakes = append(mistakes, s.parse("--"+s.name, text))
		}
	}
	return errors.Join(mistakes...)
}

// applyEnv takes an empty variable for one that is not set: that is how a
// container's description leaves one out. Not so where it would do harm.
func (l *layers) applyEnv(env environment) error {
	var mistakes []error
	for _, s := range l.settings {
		if text, set := env(s.env()); text != "" || set && s.filled {
			mistakes = append(mistakes, s.parse(s.env(), text))
		}
	}
	return errors.Join(mistakes...)
}

// checkVariables looks at the variables that have our prefix and name no
// setting. One that is most likely misspelt is a mistake. Others are told:
// they may belong to another program that shares the environment. So does one
// that is like a setting whose own variable is set as well.
func (l *layers) checkVariables(env environment, variables []string) error {
	var known []string
	for _, s := range l.settings {
		known = append(known, strings.TrimPrefix(s.env(), envPrefix))
	}
	var mistakes []error
	for _, variable := range slices.Sorted(slices.Values(variables)) {
		word, ours := strings.CutPrefix(variable, envPrefix)
		if !ours || slices.Contains(known, word) {
			continue
		}
		meant := closest.Slip(word, known)
		if meant != "" {
			if _, set := env(envPrefix + meant); !set {
				mistakes = append(mistakes, fmt.Errorf("unknown variable %s; did you mean %s%s? If it is another program's, set %s%s too", variable, envPrefix, meant, envPrefix, meant))
				continue
			}
		}
		l.config.foreign = append(l.config.foreign, "variable "+variable)
	}
	return errors.Join(mistakes...)
}

func (l *layers) applyFile(flags map[string]string, env environment) error {
	path, given := flags[l.file.name]
	if !given {
		path, _ = env(l.file.env())
	}
	if path == "" {
		return nil
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the config file: %w", err)
	}
	document, err := parseDocument(path, source, env)
	if err != nil || document.value == nil {
		return err
	}
	pairs, ok := document.value.([]pair)
	if !ok {
		return document.place.errorf("want settings, as in \"broker: nats://127.0.0.1\", have %s", document.kind())
	}
	return l.applyPairs(pairs)
}

func (l *layers) applyPairs(pairs []pair) error {
	var mistakes []error
	nameko := slices.ContainsFunc(pairs, isNameko)
	set := map[string]string{} // setting to the key that set it
	for _, p := range pairs {
		key := p.key.text
		if done, err := l.takeNameko(p); done {
			mistakes = append(mistakes, err)
			continue
		}
		name := cmp.Or(namekoNames[key], key)
		switch key {
		case "WEB_SERVER_ADDRESS":
			p.value = webAddress(p.value)
		case "AMQP_URI":
			p.value = oneURI(p.value)
		}
		s := l.byName(name)
		switch {
		case s == nil && nameko && closest.Slip(key, l.keys()) == "":
			l.config.foreign = append(l.config.foreign, fmt.Sprintf("%s: key %s", p.key.place, key))
		case s == nil || s == l.file:
			mistakes = append(mistakes, p.key.place.errorf("unknown key %s%s", key, didYouMean(key, l.keys())))
		case set[name] != "":
			mistakes = append(mistakes, p.key.place.errorf("%s says the same as %s above; keep one of them", key, set[name]))
		default:
			set[name] = key
			mistakes = append(mistakes, s.take(key, p.value))
		}
	}
	return errors.Join(mistakes...)
}

// keys returns the keys that a file may have, in order.
func (l *layers) keys() []string {
	keys := slices.Concat(keysOf(namekoNames), keysOf(namekoIgnored), []string{"AMQP_SSL"})
	for _, s := range l.settings {
		if s != l.file {
			keys = append(keys, s.name)
		}
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

func keysOf(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// reserved returns the names that no further setting can have.
func (l *layers) reserved() map[string]bool {
	taken := map[string]bool{"help": true, "version": true, "ENOKI_HELP": true, "ENOKI_VERSION": true}
	for _, s := range l.settings {
		taken[s.name], taken[s.env()] = true, true
	}
	for _, key := range l.keys() {
		taken[key] = true
	}
	return taken
}

// didYouMean is the end of a message about an unknown word.
func didYouMean(word string, candidates []string) string {
	if best := cmp.Or(closest.Slip(word, candidates), closest.To(word, candidates)); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}
