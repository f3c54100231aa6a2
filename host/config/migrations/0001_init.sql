-- The one version of everything that is stored. It rises by one with each batch, and at each start to at least the seconds since 1970.
CREATE TABLE config_state (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);

INSERT INTO config_state (id, version) VALUES (1, 0);

-- The values as they are now; `version` is the version at which a value last became another one.
-- A history of changes is a table beside this one, written in the same transaction.
CREATE TABLE config_value (
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (type, key)
);

-- When something of a type was last written or deleted: a type outlives its last value here, so that a deletion has a version too.
CREATE TABLE config_type (
    type TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
