-- +goose Up
-- Times are nanoseconds since 1970 in UTC, 0 for none. Money is in nano-dollars. NULL is no limit.
-- Lists, maps and objects are JSON, '' when they are empty. Names sort by their bytes, as in SQLite.

CREATE TABLE nestor_keys (
    token TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    origin TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    alias TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    budget_id TEXT COLLATE "C" NOT NULL,
    models TEXT COLLATE "C" NOT NULL,
    aliases TEXT COLLATE "C" NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT COLLATE "C" NOT NULL,
    model_rpm TEXT COLLATE "C" NOT NULL,
    model_tpm TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    allowed_routes TEXT COLLATE "C" NOT NULL,
    max_request_bytes BIGINT,
    blocked BOOLEAN NOT NULL,
    expires BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_by TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX nestor_keys_origin ON nestor_keys (origin);
CREATE UNIQUE INDEX nestor_keys_alias ON nestor_keys (alias) WHERE alias <> '';
CREATE INDEX nestor_keys_team ON nestor_keys (team_id) WHERE team_id <> '';
CREATE INDEX nestor_keys_user ON nestor_keys (user_id) WHERE user_id <> '';
CREATE INDEX nestor_keys_budget ON nestor_keys (budget_id) WHERE budget_id <> '';

-- The tokens that regenerated keys had before, each with the one of now.
CREATE TABLE nestor_former_tokens (
    former TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    token TEXT COLLATE "C" NOT NULL
);
CREATE INDEX nestor_former_tokens_token ON nestor_former_tokens (token);

CREATE TABLE nestor_teams (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    alias TEXT COLLATE "C" NOT NULL,
    models TEXT COLLATE "C" NOT NULL,
    aliases TEXT COLLATE "C" NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT COLLATE "C" NOT NULL,
    model_rpm TEXT COLLATE "C" NOT NULL,
    model_tpm TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    blocked BOOLEAN NOT NULL,
    members TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_by TEXT COLLATE "C" NOT NULL
);

CREATE TABLE nestor_users (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    alias TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    models TEXT COLLATE "C" NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT COLLATE "C" NOT NULL,
    model_rpm TEXT COLLATE "C" NOT NULL,
    model_tpm TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_by TEXT COLLATE "C" NOT NULL
);

CREATE TABLE nestor_budgets (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    rpm BIGINT,
    tpm BIGINT,
    max_parallel BIGINT,
    max_budget BIGINT,
    soft_budget BIGINT,
    budget_duration TEXT COLLATE "C" NOT NULL,
    budget_reset_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_by TEXT COLLATE "C" NOT NULL
);

-- What the current budget period of a key, a team or a user has cost: "key:ORIGIN", "team:ID", "user:ID".
CREATE TABLE nestor_accounts (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    spend BIGINT NOT NULL,
    reset_at BIGINT NOT NULL
);

CREATE INDEX nestor_accounts_reset ON nestor_accounts (reset_at);

-- Processes that reserve parts of budgets, until when each counts if nothing more is heard of it, and what each has.
CREATE TABLE nestor_replicas (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    until BIGINT NOT NULL
);
CREATE TABLE nestor_leases (
    account TEXT COLLATE "C" NOT NULL,
    replica TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (account, replica)
);
CREATE INDEX nestor_leases_replica ON nestor_leases (replica);

-- One row for each request that has ended, and for each earlier attempt that cost something.
CREATE TABLE nestor_spend (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    request_id TEXT COLLATE "C" NOT NULL,
    start BIGINT NOT NULL,
    token TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    total BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX nestor_spend_start ON nestor_spend (start);
CREATE INDEX nestor_spend_token ON nestor_spend (token, start);
CREATE INDEX nestor_spend_team ON nestor_spend (team_id, start) WHERE team_id <> '';
CREATE INDEX nestor_spend_user ON nestor_spend (user_id, start) WHERE user_id <> '';

CREATE TABLE nestor_audits (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL
);
CREATE INDEX nestor_audits_object ON nestor_audits (object);
