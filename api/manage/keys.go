package manage

import (
	"context"
	"errors"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
	"github.com/nestor-gateway/nestor/api/manage/form"
	"github.com/nestor-gateway/nestor/api/reply"
)

func (h *Handler) generateKey(c *call) (any, error) {
	var asked form.Key
	if err := form.KeyGenerate(h.now()).Apply(c.body, &asked); err != nil {
		return nil, err
	}
	return h.insertKey(c, asked)
}

// insertKey makes a key, with the one that the caller made or a new one, and answers with it: this is the only time
// that anybody sees it.
func (h *Handler) insertKey(c *call, asked form.Key) (reply.Object, error) {
	secret := asked.Named
	if secret == "" {
		secret = newSecret()
	} else if err := c.checkSecret("key", secret); err != nil {
		return nil, err
	}
	if err := h.checkKey(c, record.Key{}, asked); err != nil {
		return nil, err
	}
	k := asked.Key
	k.Token, k.Name = record.TokenOf(secret), nameOf(secret)
	k.Stamp = h.stamp(c)
	if err := h.Store.InsertKey(c, k, c.audit()); err != nil {
		return nil, h.taken(c, err, k.Alias, "")
	}
	h.apply(c, record.OfKey, k.Token)
	return h.withSecret(c, k, secret)
}

// withSecret is the answer to those who made a key.
func (h *Handler) withSecret(ctx context.Context, k record.Key, secret string) (reply.Object, error) {
	shown, err := h.keyRow(ctx, k)
	if err != nil {
		return nil, err
	}
	shown["key"], shown["token_id"] = secret, k.Token
	return shown, nil
}

// taken tells which of two things that must be unique is not.
func (h *Handler) taken(ctx context.Context, err error, alias, except string) error {
	if !errors.Is(err, store.ErrTaken) {
		return err
	}
	if k, err := h.keyByAlias(ctx, alias); err == nil && k.Token != except {
		return reply.Bad("key_alias", "Key with alias '%.200s' already exists. Unique key aliases across all keys are required.", alias)
	}
	return reply.Bad("key", "this key exists already")
}

// keyByAlias finds a key by its alias, which is never empty then.
func (h *Handler) keyByAlias(ctx context.Context, alias string) (record.Key, error) {
	if alias == "" {
		return record.Key{}, reply.NotFound("key_alias", "Key not found: no alias is given.")
	}
	found, _, err := h.Store.Keys(ctx, store.KeyQuery{Alias: alias, Limit: 1})
	switch {
	case err != nil:
		return record.Key{}, err
	case len(found) == 0:
		return record.Key{}, reply.NotFound("key_alias", "Key not found. No key with key_alias='%.200s'.", alias)
	}
	return found[0], nil
}

// keyNamed is the token of the key that a body is about: `key`, or `key_alias` where that is all there is.
func (h *Handler) keyNamed(c *call) (string, error) {
	key, err := c.body.Text("key")
	if err != nil || key != "" {
		return tokenOf(key), err
	}
	alias, err := c.body.Text("key_alias")
	switch {
	case err != nil:
		return "", err
	case alias == "":
		return "", reply.Bad("key", "either key or key_alias must be provided")
	}
	k, err := h.keyByAlias(c, alias)
	return k.Token, err
}

func (h *Handler) updateKey(c *call) (any, error) {
	token, err := h.keyNamed(c)
	if err != nil {
		return nil, err
	}
	k, err := h.changeKey(c, token, keyChange{fields: form.KeyUpdate(h.now())})
	if err != nil {
		return nil, err
	}
	shown, err := h.keyRow(c, k)
	if err != nil {
		return nil, err
	}
	shown["key"] = token
	if c.body.Has("key") {
		shown["key"] = c.body.Values["key"]
	}
	return shown, nil
}

// keyChange is what is to become of a key: what the body says by the table of its fields, and then also, unless it is nil.
type keyChange struct {
	fields form.Fields[form.Key]
	also   func(*form.Key) error
}

func (h *Handler) plan(c *call, k record.Key, change keyChange) (form.Key, error) {
	asked := form.Key{Key: k}
	if err := change.fields.Apply(c.body, &asked); err != nil {
		return asked, err
	}
	asked.UpdatedAt, asked.UpdatedBy = h.now(), c.author()
	if change.also == nil {
		return asked, nil
	}
	return asked, change.also(&asked)
}

// changeKey checks what is to become of a key as it is now, and then changes it as it is then.
func (h *Handler) changeKey(c *call, token string, change keyChange) (record.Key, error) {
	before, err := h.key(c, token)
	if err != nil {
		return before, err
	}
	planned, err := h.plan(c, before, change)
	if err == nil {
		err = h.checkKey(c, before, planned)
	}
	if err != nil {
		return before, err
	}
	after, err := h.Store.UpdateKey(c, token, c.audit(), func(k *record.Key) error {
		asked, err := h.plan(c, *k, change)
		*k = asked.Key
		return err
	})
	if err != nil {
		return after, h.taken(c, err, planned.Alias, token)
	}
	if after.Token != token {
		h.apply(c, record.OfKey, after.Token)
	}
	h.apply(c, record.OfKey, token)
	return after, nil
}

// key finds a key; the error doesn't say which, since somebody may have taken a key for a token.
func (h *Handler) key(ctx context.Context, token string) (record.Key, error) {
	k, err := h.Store.Key(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		return k, reply.NotFound("key", "Key not found.")
	}
	return k, err
}

// regenerateKey gives a key another secret; all else stays, or is changed as by /key/update.
func (h *Handler) regenerateKey(c *call) (any, error) {
	token, err := h.keyToRegenerate(c)
	if err != nil {
		return nil, err
	}
	secret := newSecret()
	k, err := h.changeKey(c, token, keyChange{form.KeyRegenerate(h.now()), func(asked *form.Key) error {
		if asked.Renamed != "" {
			secret = asked.Renamed
			if err := c.checkSecret("new_key", secret); err != nil {
				return err
			}
		}
		asked.Token, asked.Name = record.TokenOf(secret), nameOf(secret)
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return h.withSecret(c, k, secret)
}

func (h *Handler) keyToRegenerate(c *call) (string, error) {
	key, err := c.body.Text("key")
	if err != nil {
		return "", err
	}
	if key == "" {
		key, _, _ = keyInPath(c.path)
	}
	switch {
	case key == "":
		return "", reply.Bad("key", "No key passed in.")
	case c.who.Master && c.presents(key):
		return "", reply.Bad("key", "the master key is changed in the config, not here")
	}
	return tokenOf(key), nil
}

func (h *Handler) blockKey(c *call) (any, error)   { return h.setBlocked(c, true) }
func (h *Handler) unblockKey(c *call) (any, error) { return h.setBlocked(c, false) }

func (h *Handler) setBlocked(c *call, blocked bool) (any, error) {
	named, err := form.OnlyText(c.body, "key")
	if err != nil {
		return nil, err
	}
	token := tokenOf(named)
	k, err := h.Store.UpdateKey(c, token, c.audit(), func(k *record.Key) error {
		k.Blocked, k.UpdatedAt, k.UpdatedBy = blocked, h.now(), c.author()
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, reply.NotFound("key", "Key not found.")
	}
	if err != nil {
		return nil, err
	}
	h.apply(c, record.OfKey, token)
	return h.keyRow(c, k)
}

func (h *Handler) deleteKeys(c *call) (any, error) {
	names, err := namesIn(c)
	if err != nil {
		return nil, err
	}
	named, found, err := h.keysNamed(c, names)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, reply.NotFound("keys", "No keys found")
	}
	tokens := make([]string, len(found))
	for i, k := range found {
		tokens[i] = k.Token
	}
	if _, err := h.Store.DeleteKeys(c, tokens, c.audit()); err != nil {
		return nil, err
	}
	h.apply(c, record.OfKey, tokens...)
	return reply.Object{"deleted_keys": named}, nil
}

// namesIn reads a body that names keys.
func namesIn(c *call) (names form.Names, err error) {
	if err := form.KeyNames().Apply(c.body, &names); err != nil {
		return names, err
	}
	if len(names.Keys)+len(names.Aliases) == 0 {
		return names, reply.Bad("keys", "At least one of 'keys' or 'key_aliases' must be provided.")
	}
	return names, nil
}

// keysNamed finds keys, and how each is named, in the order of the names. Names of none are passed over.
func (h *Handler) keysNamed(c *call, names form.Names) (named []string, found []record.Key, err error) {
	tokens := make([]string, len(names.Keys))
	for i, key := range names.Keys {
		tokens[i] = tokenOf(key)
	}
	byToken, err := h.keysBy(c, store.KeyQuery{Tokens: tokens}, func(k record.Key) string { return k.Token })
	if err != nil {
		return nil, nil, err
	}
	byAlias, err := h.keysBy(c, store.KeyQuery{Aliases: append([]string{}, names.Aliases...)}, func(k record.Key) string { return k.Alias })
	if err != nil {
		return nil, nil, err
	}
	for i, key := range names.Keys {
		if k, ok := byToken[tokens[i]]; ok {
			named, found = append(named, key), append(found, k)
		}
	}
	for _, alias := range names.Aliases {
		if k, ok := byAlias[alias]; ok {
			named, found = append(named, alias), append(found, k)
		}
	}
	return named, found, nil
}

// keysBy are the keys of a query, by what is unique of each.
func (h *Handler) keysBy(c *call, q store.KeyQuery, name func(record.Key) string) (map[string]record.Key, error) {
	found, _, err := h.Store.Keys(c, q)
	by := make(map[string]record.Key, len(found))
	for _, k := range found {
		by[name(k)] = k
	}
	return by, err
}

func isNotFound(err error) bool {
	var p reply.Problem
	return errors.As(err, &p) && p.Status == 404
}
