package manage

import "net/http"

// endpoint is one route.
type endpoint struct {
	method, path string
	by           admission
	// serve returns what is answered with status 200.
	serve func(*call) (any, error)
}

// admission says who may call a route.
type admission int

const (
	// managers are the holder of the master key, and keys of users with the role proxy_admin.
	managers admission = iota
	// viewers are managers, and keys of users with the role proxy_admin_viewer.
	viewers
	// holders are all who have a key; the route shows them what is theirs.
	holders
)

func (h *Handler) endpoints() []endpoint {
	const get, post = http.MethodGet, http.MethodPost
	return []endpoint{
		{post, "/key/generate", managers, h.generateKey},
		{post, "/key/update", managers, h.updateKey},
		{post, "/key/regenerate", managers, h.regenerateKey},
		{post, "/key/{key}/regenerate", managers, h.regenerateKey},
		{post, "/key/delete", managers, h.deleteKeys},
		{post, "/key/block", managers, h.blockKey},
		{post, "/key/unblock", managers, h.unblockKey},
		{get, "/key/info", holders, h.keyInfo},
		{get, "/key/list", holders, h.listKeys},
		{get, "/key/aliases", holders, h.keyAliases},
		{post, "/key/{key}/reset_spend", managers, h.resetSpend},
		{post, "/v2/key/info", holders, h.keysInfo},

		{post, "/team/new", managers, h.newTeam},
		{post, "/team/update", managers, h.updateTeam},
		{post, "/team/delete", managers, h.deleteTeams},
		{post, "/team/block", managers, h.blockTeam},
		{post, "/team/unblock", managers, h.unblockTeam},
		{post, "/team/member_add", managers, h.addMembers},
		{post, "/team/member_update", managers, h.updateMember},
		{post, "/team/member_delete", managers, h.deleteMember},
		{get, "/team/info", holders, h.teamInfo},
		{get, "/team/list", holders, h.listTeams},

		{post, "/user/new", managers, h.newUser},
		{post, "/user/update", managers, h.updateUser},
		{post, "/user/delete", managers, h.deleteUsers},
		{get, "/user/info", holders, h.userInfo},
		{get, "/user/list", viewers, h.listUsers},

		{post, "/budget/new", managers, h.newBudget},
		{post, "/budget/update", managers, h.updateBudget},
		{post, "/budget/delete", managers, h.deleteBudget},
		{post, "/budget/info", viewers, h.budgetInfo},
		{get, "/budget/list", viewers, h.listBudgets},

		{get, "/spend/logs", holders, h.spendLogs},
		{get, "/spend/keys", holders, h.spendKeys},
		{get, "/spend/users", holders, h.spendUsers},
		{get, "/global/spend", viewers, h.globalSpend},
		{get, "/global/spend/logs", viewers, h.globalDays},
		{get, "/global/spend/keys", viewers, h.globalKeys},
		{get, "/global/spend/models", viewers, h.globalModels},
		{get, "/global/spend/teams", viewers, h.globalTeams},

		{get, "/audit", viewers, h.audits},
	}
}
