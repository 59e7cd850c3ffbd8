package access

import "strings"

// Title says whose the limits are, for people: "key", "team ID" or "user ID", and for which model. It has no token.
func (l *Limited) Title() string {
	owner, model, one := strings.Cut(l.Name, "/model:")
	title, id, _ := strings.Cut(owner, ":")
	if title != "key" {
		title += " " + id
	}
	if one {
		title += " and model " + model
	}
	return title
}
