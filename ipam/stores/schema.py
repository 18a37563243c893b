"""The tables of the file store, and how those of an older version become these."""

from __future__ import annotations

from ipam.stores import runs

VERSION = 2

_HOLD = """
CREATE TABLE hold (
    network_name TEXT NOT NULL,
    address BLOB NOT NULL,
    cidr TEXT NOT NULL,
    kind TEXT NOT NULL,           -- cooling, sticky, reserved
    holder TEXT NOT NULL,         -- namespace/name of a pod, or a container ID
    ifname TEXT NOT NULL,         -- empty: any
    until INTEGER NOT NULL,       -- seconds since 1970; 0: for ever
    PRIMARY KEY (network_name, address, cidr)
) WITHOUT ROWID;
CREATE INDEX hold_holder ON hold (holder, ifname);
CREATE INDEX hold_until ON hold (until) WHERE until > 0;
CREATE INDEX hold_resting ON hold (network_name, cidr, until) WHERE kind = 'cooling';
CREATE INDEX lease_pod ON lease (pod_namespace, pod_name) WHERE pod_name <> '';
CREATE INDEX lease_boot ON lease (boot_id);
"""

CREATE = f"""
BEGIN IMMEDIATE;
CREATE TABLE lease (
    network_name TEXT NOT NULL,   -- with cidr the pool; networks that name the same share it
    address BLOB NOT NULL,        -- 4 or 16 bytes in network order
    cidr TEXT NOT NULL,
    network TEXT NOT NULL,        -- with container_id and ifname the attachment
    container_id TEXT NOT NULL,
    ifname TEXT NOT NULL,
    slot INTEGER NOT NULL,        -- which of the addresses that the attachment asked for, from 0
    pod_namespace TEXT NOT NULL,
    pod_name TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    created INTEGER NOT NULL,     -- seconds since 1970
    node TEXT NOT NULL DEFAULT '',
    netns TEXT NOT NULL DEFAULT '',
    boot_id TEXT NOT NULL DEFAULT '',
    cooldown INTEGER NOT NULL DEFAULT 0,  -- seconds; what is to become of it after its release
    sticky INTEGER NOT NULL DEFAULT 0,    -- seconds, -1: for ever
    PRIMARY KEY (network_name, address, cidr)
) WITHOUT ROWID;
CREATE INDEX lease_attachment ON lease (network, container_id, ifname);
{_HOLD}
{runs.SCHEMA}
PRAGMA user_version = {VERSION};
COMMIT;
"""

#: older version -> what makes it the present one. What leased without telling its boot is taken for
#: this boot's: its containers live or not, after the next boot none does
UPGRADES = {
    1: f"""
BEGIN IMMEDIATE;
ALTER TABLE lease ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE lease ADD COLUMN netns TEXT NOT NULL DEFAULT '';
ALTER TABLE lease ADD COLUMN boot_id TEXT NOT NULL DEFAULT '';
ALTER TABLE lease ADD COLUMN cooldown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lease ADD COLUMN sticky INTEGER NOT NULL DEFAULT 0;
UPDATE lease SET boot_id = this_boot();
{_HOLD}
PRAGMA user_version = {VERSION};
COMMIT;
"""  # noqa: S608 (texts of this module)
}
