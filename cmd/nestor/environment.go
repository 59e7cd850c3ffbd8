package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/nestor-gateway/nestor/routing/config/known"
)

const variablePrefix = "NESTOR_"

// variable is the environment variable of a flag.
func variable(flag string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that were not given from their variables. One that is empty counts as not there.
func fromEnvironment(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		if text := os.Getenv(name); text != "" && err == nil {
			err = setOther(f, name, text)
		}
	})
	return err
}

// fromFile sets the flags that are set neither way from a settings file. It may have what other commands take.
func fromFile(flags *pflag.FlagSet, path string) error {
	file := viper.New()
	file.SetConfigFile(path)
	file.SetConfigType("yaml")
	if err := file.ReadInConfig(); err != nil {
		return fmt.Errorf("read settings %s: %w", path, err)
	}
	values, names := file.AllSettings(), fileKeys()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, key) {
			return fmt.Errorf("settings %s: %q is not known%s", path, key, didYouMean(known.Nearest(key, names)))
		}
		f := flags.Lookup(key)
		if f == nil {
			continue
		}
		switch value := values[key].(type) {
		case []any, map[string]any:
			return fmt.Errorf("settings %s: %s must be %s, not a list or a mapping", path, key, wanted(f.Value.Type()))
		default:
			if err := setOther(f, "settings "+path+": "+key, fmt.Sprint(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// setOther sets a flag that was not given by what stands elsewhere.
func setOther(f *pflag.Flag, where, text string) error {
	if f.Changed {
		return nil
	}
	if f.Value.Set(text) != nil {
		return fmt.Errorf("%s must be %s, not %q", where, wanted(f.Value.Type()), text)
	}
	f.Changed = true
	return nil
}

// wanted says what a flag of a type takes.
func wanted(kind string) string {
	switch kind {
	case "duration":
		return "a time with its unit, such as 30s or 5m"
	case "bool":
		return "true or false"
	case "uint32":
		return "a whole number from 0 to 4294967295"
	case "int":
		return "a whole number"
	}
	return "text"
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

// fileKeys are what a settings file may say: all flags but the one that names it.
func fileKeys() []string {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	settingsFlags(flags)
	envoyFlags(flags)
	serveFlags(flags)
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "settings" {
			names = append(names, f.Name)
		}
	})
	return names
}

// warnUnknown tells of variables that look like Nestor's and are not.
func warnUnknown(log *slog.Logger, environ []string) {
	names := []string{variable("settings"), variable("timeout")} // the latter is that of the health check
	for _, key := range fileKeys() {
		names = append(names, variable(key))
	}
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, variablePrefix) && !slices.Contains(names, name) && !isOthers(name) {
			log.Warn("unknown environment variable"+didYouMean(known.Nearest(name, names)), "variable", name)
		}
	}
}

// isOthers reports whether a variable is that of the tests and examples, of nestor keys, or of a Kubernetes service called nestor or
// nestor-something: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
func isOthers(name string) bool {
	rest := strings.TrimPrefix(name, variablePrefix)
	switch rest {
	case "LITELLM_PYTHON", "URL", "KEY", "TOOLS", "MASTER_KEY":
		return true
	}
	rest = "_" + rest + "_"
	return strings.HasPrefix(rest, "_TEST_") || strings.Contains(rest, "_SERVICE_") || strings.Contains(rest, "_PORT_")
}
