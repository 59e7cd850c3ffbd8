package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

const referencePrefix = "os.environ/"

// reference returns the name of the environment variable that a value stands for.
func reference(v *tree.Node) (name string, ok bool) {
	if v.Kind != tree.Scalar {
		return "", false
	}
	return strings.CutPrefix(v.Text, referencePrefix)
}

// lookup reads a variable: the process's, else one that the file sets under environment_variables.
// An empty one counts as not set. In an entry that is a warning, and no request can be sent to it;
// elsewhere a problem.
func (d *decoder) lookup(key, name string, at Position) (string, bool) {
	if text := d.variable(name); text != "" {
		return text, true
	}
	message := unset(key, name)
	if d.entry == nil {
		d.report.Problem(at, "set "+tree.Clip(name), "%s", message)
		return "", false
	}
	d.unusable(at, "set "+tree.Clip(name), message)
	return "", false
}

// variable is what a variable holds, empty when it is not set.
func (d *decoder) variable(name string) string {
	if text, ok := d.env(name); ok && text != "" {
		return text
	}
	return d.variables[name]
}

func unset(key, name string) string {
	return fmt.Sprintf("%s needs the environment variable %s, which is not set", key, tree.Clip(name))
}

// unusable marks the entry being read as one to which no request can be sent.
func (d *decoder) unusable(at Position, hint, message string) {
	if d.entry.Problem != "" {
		d.entry.Problem += "; "
	}
	d.entry.Problem += message
	d.report.Warn(at, hint, "%s; the entry is unavailable", message)
}

// environment reads environment_variables. LiteLLM sets them in its own process; here they stand in for
// variables that are not set. It refuses to set the ones listed below, as they change how programs run.
func (d *decoder) environment(v *tree.Node) {
	blocked := strings.Fields("PATH LD_PRELOAD LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_INSERT_LIBRARIES PYTHONPATH PYTHONSTARTUP PYTHONHOME HOME USER SHELL LOGNAME NO_PROXY no_proxy")
	for _, p := range d.fields("environment_variables", v) {
		name := p.Key.Text
		if slices.Contains(blocked, name) {
			d.report.Warn(p.Key.At, "set it where nestor is started", "%s is not set from the config", tree.Clip(name))
			continue
		}
		if other, isReference := reference(p.Value); isReference {
			if text, ok := d.env(other); ok {
				d.variables[name] = text
			}
			continue
		}
		if p.Value.Kind != tree.Scalar {
			d.wrongType(tree.Clip(name), p.Value, "text")
			continue
		}
		d.variables[name] = p.Value.Text
	}
}

// placeholder finds text in angle brackets, as documentation writes what a user must fill in.
func placeholder(text string) string {
	_, rest, opened := strings.Cut(text, "<")
	inside, _, closed := strings.Cut(rest, ">")
	if !opened || !closed || inside == "" {
		return ""
	}
	return "<" + inside + ">"
}

// checkPlaceholder reports a value that the user has yet to fill in. What stands in a credential's place is not
// repeated: it may be the credential after all.
func (d *decoder) checkPlaceholder(key string, v *tree.Node, isSecret bool) {
	found := placeholder(v.Text)
	if v.Kind != tree.Scalar || found == "" {
		return
	}
	if isSecret {
		found = ""
	}
	d.unusable(v.At, "put the real value there", placeholderMessage(key, found))
}
