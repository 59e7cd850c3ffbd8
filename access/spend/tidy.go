package spend

import (
	"strings"
	"unicode/utf8"

	"github.com/nestor-gateway/nestor/access/record"
)

const (
	mostText  = 1024 // bytes of a text; some are the client's
	mostTexts = 64   // of a list
)

// tidy makes a row one that every database takes (PostgreSQL has no text with a NUL, or that isn't UTF-8), and bounds it.
// Accounts are left as they were charged: no client names them.
func tidy(r record.Spend) record.Spend {
	for _, s := range [...]*string{
		&r.ID, &r.RequestID, &r.Token, &r.TeamID, &r.UserID, &r.EndUser, &r.Model, &r.Group, &r.Deployment, &r.Provider,
		&r.ProviderModel, &r.APIBase, &r.Outcome, &r.Endpoint,
	} {
		*s = tidyText(*s)
	}
	for _, list := range [...]*[]string{&r.Path, &r.Tags} {
		*list = tidyList(*list)
	}
	return r
}

func tidyText(s string) string {
	if len(s) > mostText {
		s = strings.Clone(s[:mostText]) // the rest may be large
	}
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
}

// tidyList copies a list that it changes: others may read it.
func tidyList(list []string) []string {
	list = list[:min(len(list), mostTexts)]
	for i, s := range list {
		if tidyText(s) != s {
			return tidied(list, i)
		}
	}
	return list
}

func tidied(list []string, from int) []string {
	out := append([]string(nil), list...)
	for i := from; i < len(out); i++ {
		out[i] = tidyText(out[i])
	}
	return out
}
