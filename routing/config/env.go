package config

import (
	"fmt"
	"slices"
	"strings"
)

const referencePrefix = "os.environ/"

// reference returns the name of the environment variable that a value stands for.
func reference(v *node) (name string, ok bool) {
	if v.kind != scalar {
		return "", false
	}
	return strings.CutPrefix(v.text, referencePrefix)
}

// lookup reads a variable: the process's, else one that the file sets under environment_variables.
// An empty one counts as not set. In an entry that is a warning, and no request can be sent to it;
// elsewhere a problem.
func (d *decoder) lookup(key, name string, at Position) (string, bool) {
	if text, ok := d.env(name); ok && text != "" {
		return text, true
	}
	if text := d.variables[name]; text != "" {
		return text, true
	}
	message := fmt.Sprintf("%s needs the environment variable %s, which is not set", key, clip(name))
	if d.entry == nil {
		d.report.problem(at, "set "+clip(name), "%s", message)
		return "", false
	}
	d.unusable(at, "set "+clip(name), message)
	return "", false
}

// unusable marks the entry being read as one to which no request can be sent.
func (d *decoder) unusable(at Position, hint, message string) {
	if d.entry.Problem != "" {
		d.entry.Problem += "; "
	}
	d.entry.Problem += message
	d.report.warn(at, hint, "%s; the deployment is unavailable", message)
}

// environment reads environment_variables. LiteLLM sets them in its own process; here they stand in for
// variables that are not set. It refuses to set the ones listed below, as they change how programs run.
func (d *decoder) environment(v *node) {
	blocked := strings.Fields("PATH LD_PRELOAD LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_INSERT_LIBRARIES PYTHONPATH PYTHONSTARTUP PYTHONHOME HOME USER SHELL LOGNAME NO_PROXY no_proxy")
	for _, p := range d.fields("environment_variables", v) {
		name := p.key.text
		if slices.Contains(blocked, name) {
			d.report.warn(p.key.at, "set it where nestor is started", "%s is not set from the config", clip(name))
			continue
		}
		if other, isReference := reference(p.value); isReference {
			if text, ok := d.env(other); ok {
				d.variables[name] = text
			}
			continue
		}
		if p.value.kind != scalar {
			d.wrongType(clip(name), p.value, "text")
			continue
		}
		d.variables[name] = p.value.text
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
func (d *decoder) checkPlaceholder(key string, v *node, isSecret bool) {
	found := placeholder(v.text)
	if v.kind != scalar || found == "" {
		return
	}
	if isSecret {
		found = ""
	}
	d.unusable(v.at, "put the real value there", placeholderMessage(key, found))
}
