package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheDatabaseIsThatOfTheFileOrOfTheEnvironment(t *testing.T) {
	const entry = "model_list: [{model_name: a, litellm_params: {model: openai/a}}]\n"
	cases := map[string]struct{ yaml, url, want string }{
		"neither":     {entry, "", ""},
		"environment": {entry, "postgres://env", "postgres://env"},
		"file":        {entry + "general_settings: {database_url: postgres://file}", "postgres://env", "postgres://file"},
		"reference":   {entry + "general_settings: {database_url: os.environ/DATABASE_URL}", "postgres://env", "postgres://env"},
		"variables":   {entry + "environment_variables: {DATABASE_URL: postgres://var}", "", "postgres://var"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			env := func(name string) (string, bool) { return c.url, name == "DATABASE_URL" && c.url != "" }
			cfg, err := Decode("config.yaml", []byte(c.yaml), env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, cfg.Access.Database.Reveal()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
