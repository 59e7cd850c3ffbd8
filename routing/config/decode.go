package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/files"
	"github.com/nestor-gateway/nestor/routing/config/known"
	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// maxFile bounds what is read from one file, in bytes.
const maxFile = 256 << 20

// Load reads a config.yaml and what it includes. env looks up environment variables, as os.LookupEnv does.
// The error is an *Error that holds every problem, or one of the file system that names the path.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	src, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("the config can't be read: %w", err)
	}
	return load(path, src, env, readFile)
}

// Decode reads a config from memory; name is what messages call it. It can't include other files.
func Decode(name string, src []byte, env func(string) (string, bool)) (*Config, error) {
	return load(name, src, env, nil)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return os.ReadFile(path)
}

var errTooLarge = errors.New("larger than 256 MiB")

// load decodes with model_list taken apart where that is possible, and whole where it turns out not to be.
func load(name string, src []byte, env func(string) (string, bool), read func(string) ([]byte, error)) (*Config, error) {
	return finish(decodeBy(name, src, tree.UsualSplitting(), env, read))
}

// decodeBy reads large files in pieces, and all of them whole where a piece turns out to be none.
func decodeBy(name string, src []byte, how tree.Splitting, env func(string) (string, bool), read func(string) ([]byte, error)) *decoder {
	d := newDecoder(env, read)
	d.splitting = how
	if !d.decode(name, src) {
		d = newDecoder(env, read)
		d.decode(name, src)
	}
	return d
}

func finish(d *decoder) (*Config, error) {
	if d.report.Found() > 0 {
		return nil, &Error{Problems: d.report.Problems()}
	}
	d.cfg.Warnings = d.report.Warnings()
	return d.cfg, nil
}

// decoder holds what reading one config needs.
type decoder struct {
	cfg    *Config
	report *tree.Report
	known  *known.Catalog
	env    func(string) (string, bool)
	// read reads an included file; nil refuses them.
	read      func(string) ([]byte, error)
	splitting tree.Splitting

	// entry is the element of model_list being read, if any.
	entry *Entry
	// nameless: an entry was left out for want of a name.
	nameless    bool
	variables   map[string]string
	credentials map[string]*tree.Node
	meant       map[string]string
	meantPrice  map[string]string
	redis       redisPlaces
	visited     int
}

func newDecoder(env func(string) (string, bool), read func(string) ([]byte, error)) *decoder {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &decoder{
		cfg: &Config{}, report: tree.NewReport(), known: known.NewCatalog(), env: env, read: read, splitting: tree.NoSplitting(),
		variables: map[string]string{}, credentials: map[string]*tree.Node{}, meant: map[string]string{}, meantPrice: map[string]string{},
	}
}

// decode reads the file, its includes and its sections. Not ok: model_list must be read whole.
func (d *decoder) decode(name string, src []byte) (ok bool) {
	reader := files.Reader{Report: d.report, Splitting: d.splitting, Read: d.read, Includes: d.includes}
	merged, names, ok := reader.Sections(name, src)
	d.cfg.Files = names
	if !ok {
		return true
	}
	for _, s := range merged {
		d.topKey(s)
	}
	// The order matters: entries need the variables and credentials, litellm_settings fills in for router_settings.
	d.each(merged, "environment_variables", d.environment)
	d.each(merged, "credential_list", d.credentialList)
	d.each(merged, "general_settings", d.proxy)
	d.masterKey()
	d.database()
	d.each(merged, "router_settings", d.router)
	d.each(merged, "litellm_settings", d.module)
	d.chosenRedis()
	d.each(merged, "model_groups", d.groups)
	return d.modelList(merged, name)
}

func (d *decoder) includes(v *tree.Node) []files.Include {
	var all []files.Include
	for _, key := range d.texts("include", v) {
		all = append(all, files.Include{Path: key.Name, At: key.At})
	}
	return all
}

// each calls read with every part of a section that says something.
func (d *decoder) each(merged []files.Section, name string, read func(*tree.Node)) {
	for _, s := range merged {
		if s.Key.Text != name {
			continue
		}
		for _, part := range s.Parts {
			if !part.IsNull() {
				read(part)
			}
		}
	}
}

func (d *decoder) modelList(merged []files.Section, name string) bool {
	found := false
	for _, s := range merged {
		if s.Key.Text != "model_list" {
			continue
		}
		for _, part := range s.Parts {
			found = found || !part.IsNull()
			if !d.entries(part, s.Lazy[part]) {
				return false
			}
		}
	}
	if !found {
		d.report.Problem(Position{File: name, Line: 1, Column: 1}, "add a model_list with at least one entry", "the config has no model_list")
	} else if len(d.cfg.Entries) == 0 && !d.nameless && d.report.Found() == 0 {
		d.report.Problem(Position{File: name, Line: 1, Column: 1}, "add an entry with model_name and litellm_params", "model_list is empty")
	}
	return true
}

func (d *decoder) entries(list *tree.Node, rest *tree.Items) bool {
	if list.IsNull() {
		return true
	}
	nodes, _ := d.list("model_list", list)
	for _, v := range nodes {
		d.entryOf(v)
	}
	return rest.Each(d.entryOf)
}

// topKey reports a top-level key that is not read.
func (d *decoder) topKey(s files.Section) {
	known := &d.known.Top
	if known.IsSupported(s.Key.Text) {
		return
	}
	last := s.Parts[len(s.Parts)-1]
	if _, ignored := known.Ignored[s.Key.Text]; !ignored && holdsAnchor(last) {
		// A value that others repeat has to stand somewhere, and LiteLLM looks at no other top-level key.
		return
	}
	d.unsupported(known, tree.Pair{Key: s.Key, Value: last})
}

func holdsAnchor(v *tree.Node) bool {
	if v.Anchored {
		return true
	}
	for _, p := range v.Pairs {
		if p.Value.Anchored {
			return true
		}
	}
	for _, item := range v.Items {
		if item.Anchored {
			return true
		}
	}
	return false
}

// unsupported warns of a key that LiteLLM has and Nestor does not act upon, and reports one that nobody knows.
func (d *decoder) unsupported(s *known.Section, f tree.Pair) {
	lost, ignored := s.Ignored[f.Key.Text]
	if !ignored {
		d.unknown(s, f.Key)
		return
	}
	d.ignore(f, lost)
}

// ignore says what will not happen, unless the value asks for nothing.
func (d *decoder) ignore(f tree.Pair, lost string) {
	if lost == "" || asksForNothing(f) {
		return
	}
	d.report.WarnOnce(f.Key.At, "", fmt.Sprintf("%s is not supported: %s", f.Key.Text, lost))
}

// asksForNothing reports whether a setting leaves things as they are. All are off by default but two. To allow no failure
// is to ask for much.
func asksForNothing(f tree.Pair) bool {
	if strings.HasSuffix(f.Key.Text, "AllowedFails") {
		return f.Value.IsNull()
	}
	if f.Key.Text == "ssl_verify" || f.Key.Text == "ssl_check_hostname" {
		on, _ := tree.Boolean(f.Value.Text)
		return on && f.Value.Plain
	}
	return f.Value.IsOff()
}

func (d *decoder) unknown(s *known.Section, key *tree.Node) {
	hint := "remove it"
	if meant := known.Nearest(key.Text, s.Names); meant != "" {
		hint = "write " + meant
	} else if other := d.elsewhere(key.Text); other != "" {
		hint = "it belongs in " + other + "; check the indentation"
	}
	d.report.Problem(key.At, hint, "%s is not known in %s", tree.QuoteKey(key.Text), s.Name)
}

// elsewhere names the section to which a key belongs.
func (d *decoder) elsewhere(key string) string {
	sections := []*known.Section{&d.known.Entry, &d.known.Router, &d.known.Proxy, &d.known.Param, &d.known.Module}
	for _, is := range []func(*known.Section, string) bool{(*known.Section).IsSupported, (*known.Section).IsKnown} {
		for _, s := range sections {
			if is(s, key) {
				return s.Name
			}
		}
	}
	return ""
}

// proxy reads general_settings.
func (d *decoder) proxy(v *tree.Node) {
	for _, f := range d.fields("general_settings", v) {
		switch f.Key.Text {
		case "master_key":
			d.secret("master_key", f.Value, &d.cfg.MasterKey)
			if f.Value.Kind == tree.Scalar && f.Value.Text == "" && !f.Value.Broken {
				d.report.Problem(f.Value.At, "write a key, or remove master_key", "master_key is empty")
			}
		case "coordination_redis":
			d.coordinationRedis(f)
		default:
			if !d.accessKey(f) {
				d.unsupported(&d.known.Proxy, f)
			}
		}
	}
}

// masterKey takes the key from LITELLM_MASTER_KEY where the file gives none, as LiteLLM does.
func (d *decoder) masterKey() {
	if d.cfg.MasterKey != "" {
		return
	}
	key, _ := d.env("LITELLM_MASTER_KEY")
	d.cfg.MasterKey = Secret(cmp.Or(key, d.variables["LITELLM_MASTER_KEY"]))
}
