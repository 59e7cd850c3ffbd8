package manage

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/reply"
)

// call is one request to a route.
type call struct {
	context.Context
	route, path string
	query       url.Values
	header      http.Header
	who         access.Principal
	// address is the client's; the zero one when it is not known.
	address netip.Addr
	body    form.Body
}

// largestBody bounds the body of a request, in bytes.
const largestBody = 1 << 20

// read takes an empty body for an empty object where everything that a route takes may be left out.
func (c *call) read(r *http.Request) error {
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, largestBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return reply.Failure(http.StatusRequestEntityTooLarge, "bad_request_error", "", "the body is larger than 1 MiB")
	case err != nil:
		return reply.Bad("", "the body could not be read to its end")
	}
	if len(raw) == 0 && strings.HasSuffix(c.route, "/regenerate") {
		raw = []byte("{}")
	}
	c.body, err = form.Parse(raw)
	return err
}

// addressOf is where a request comes from: what Envoy wrote as the last element of x-forwarded-for, or the peer of one
// that did not come through Envoy.
func addressOf(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if hops := r.Header.Values("X-Forwarded-For"); len(hops) > 0 {
		last := hops[len(hops)-1]
		host = strings.TrimSpace(last[strings.LastIndex(last, ",")+1:])
	}
	address, _ := netip.ParseAddr(host)
	return address.Unmap().WithZone("")
}

// admit checks who calls, and from where.
func (h *Handler) admit(c *call, by admission) error {
	if !h.fromAllowed(c.address) {
		return reply.Forbidden("Access forbidden: IP address not allowed for management routes.")
	}
	if c.who.Anonymous {
		return reply.Forbidden("%s needs a key, and without general_settings.master_key nobody has one: set it", c.route)
	}
	if denial := c.who.May(access.Call{Route: c.route}); denial != nil {
		return reply.Denied(denial)
	}
	if by == managers && !c.who.CanManage() || by == viewers && !c.views() {
		return reply.Forbidden("Only the master key, or a key of a user with the role %s, can call %s.", record.RoleAdmin, c.route)
	}
	return nil
}

func (h *Handler) fromAllowed(address netip.Addr) bool {
	if h.Networks == nil {
		return true
	}
	allowed := h.Networks()
	return allowed == nil || slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(address) })
}

// views reports whether the caller may see everybody's records.
func (c *call) views() bool { return c.who.CanManage() || c.role() == form.RoleViewer }

func (c *call) role() string {
	if c.who.Key == nil || c.who.Key.User() == nil {
		return ""
	}
	return c.who.Key.User().Role
}

// user is the id of the caller's user; "" for the master key.
func (c *call) user() string {
	if c.who.Key == nil {
		return ""
	}
	return c.who.Key.UserID
}

// masterUser is LiteLLM's name for who uses the master key.
const masterUser = "default_user_id"

// author is who a record is made by.
func (c *call) author() string {
	if c.who.Master {
		return masterUser
	}
	return cmp.Or(c.who.Key.UserID, c.who.Key.Token)
}

// actor is who the audit log names.
func (c *call) actor() string {
	if c.who.Master {
		return record.MasterToken
	}
	return c.who.Key.Token
}
