package manage_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nestor-gateway/nestor/access/record"
)

// example is a line of docs/keys.md such as: ask /key/block -d '{"key": "sk-..."}'.
var example = regexp.MustCompile(`(?m)^ask "?(/[^"\s]+)"?(?: -d '([^']*)')?`)

// TestTheExamplesOfTheDocumentationWork: each in an empty database, or in one that has what it is about, or what examples before it have made.
func TestTheExamplesOfTheDocumentationWork(t *testing.T) {
	text, err := os.ReadFile("../../docs/keys.md")
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{}
	for _, m := range example.FindAllStringSubmatch(string(text), -1) {
		path, _, _ := strings.Cut(m[1], "?")
		routes[path] = true
		t.Run(m[0], func(t *testing.T) { mustEqual(t, true, works(t, m[1], m[2])) })
	}
	for _, r := range everyRoute() {
		path, _, _ := strings.Cut(strings.Replace(r.path, "/k/", "/TOKEN/", 1), "?")
		if !routes[path] && path != "/key/TOKEN/regenerate" {
			t.Errorf("no example of %s", path)
		}
	}
}

func works(t *testing.T, path, body string) bool {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	const key = "sk-the-key-of-the-examples"
	replace := strings.NewReplacer("sk-...", key, "TOKEN", record.TokenOf(key))
	for stage := range 3 {
		r := newRig(t)
		if stage > 0 {
			r.done(r.post("/team/new", `{"team_id": "t1", "team_alias": "Core"}`))
			r.done(r.post("/user/new", `{"user_id": "ann", "teams": ["t1"]}`))
			r.done(r.post("/user/new", `{"user_id": "bob", "teams": ["t1"]}`))
			r.done(r.post("/budget/new", `{"budget_id": "small"}`))
			r.generate(`{"key": "` + key + `", "key_alias": "app"}`)
		}
		if stage > 1 {
			r.done(r.post("/team/member_add", `{"team_id": "t1", "member": {"user_id": "dora", "role": "user"}}`))
		}
		if r.ask(master, method, replace.Replace(path), replace.Replace(body)).Status == http.StatusOK {
			return true
		}
	}
	return false
}
