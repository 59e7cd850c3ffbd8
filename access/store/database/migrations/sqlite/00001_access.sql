-- +goose Up
-- Times are nanoseconds since 1970 in UTC, 0 for none. Money is in nano-dollars. NULL is no limit.
-- Lists, maps and objects are JSON, '' when they are empty.

CREATE TABLE nestor_keys (
    token TEXT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL,
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    team_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    budget_id TEXT NOT NULL,
    models TEXT NOT NULL,
    aliases TEXT NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT NOT NULL,
    model_rpm TEXT NOT NULL,
    model_tpm TEXT NOT NULL,
    metadata TEXT NOT NULL,
    tags TEXT NOT NULL,
    allowed_routes TEXT NOT NULL,
    max_request_bytes BIGINT,
    blocked BOOLEAN NOT NULL,
    expires BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX nestor_keys_origin ON nestor_keys (origin);
CREATE UNIQUE INDEX nestor_keys_alias ON nestor_keys (alias) WHERE alias <> '';
CREATE INDEX nestor_keys_team ON nestor_keys (team_id) WHERE team_id <> '';
CREATE INDEX nestor_keys_user ON nestor_keys (user_id) WHERE user_id <> '';
CREATE INDEX nestor_keys_budget ON nestor_keys (budget_id) WHERE budget_id <> '';

-- The tokens that regenerated keys had before, each with the one of now.
CREATE TABLE nestor_former_tokens (
    former TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX nestor_former_tokens_token ON nestor_former_tokens (token);

CREATE TABLE nestor_teams (
    id TEXT NOT NULL PRIMARY KEY,
    alias TEXT NOT NULL,
    models TEXT NOT NULL,
    aliases TEXT NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT NOT NULL,
    model_rpm TEXT NOT NULL,
    model_tpm TEXT NOT NULL,
    metadata TEXT NOT NULL,
    tags TEXT NOT NULL,
    blocked BOOLEAN NOT NULL,
    members TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE nestor_users (
    id TEXT NOT NULL PRIMARY KEY,
    alias TEXT NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    models TEXT NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT NOT NULL,
    model_rpm TEXT NOT NULL,
    model_tpm TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE nestor_budgets (
    id TEXT NOT NULL PRIMARY KEY,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT NOT NULL,
    budget_reset_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL
) WITHOUT ROWID;

-- What the current budget period of a key, a team or a user has cost: "key:ORIGIN", "team:ID", "user:ID".
CREATE TABLE nestor_accounts (
    name TEXT NOT NULL PRIMARY KEY,
    spend BIGINT NOT NULL,
    reset_at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX nestor_accounts_reset ON nestor_accounts (reset_at);

-- Processes that reserve parts of budgets, until when each counts if nothing more is heard of it, and what each has.
CREATE TABLE nestor_replicas (
    name TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    until BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE nestor_leases (
    account TEXT NOT NULL,
    replica TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (account, replica)
) WITHOUT ROWID;
CREATE INDEX nestor_leases_replica ON nestor_leases (replica);

-- One row for each request that has ended, and for each earlier attempt that cost something.
CREATE TABLE nestor_spend (
    id TEXT NOT NULL PRIMARY KEY,
    request_id TEXT NOT NULL,
    start BIGINT NOT NULL,
    token TEXT NOT NULL,
    team_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    model TEXT NOT NULL,
    total BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX nestor_spend_start ON nestor_spend (start);
CREATE INDEX nestor_spend_token ON nestor_spend (token, start);
CREATE INDEX nestor_spend_team ON nestor_spend (team_id, start) WHERE team_id <> '';
CREATE INDEX nestor_spend_user ON nestor_spend (user_id, start) WHERE user_id <> '';

CREATE TABLE nestor_audits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time BIGINT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX nestor_audits_object ON nestor_audits (object);
