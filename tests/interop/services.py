"""TrustGraph's config service or flow service, unchanged but for the table store of the config service: it keeps the values in this process's
memory, where the original keeps them in Cassandra.

services.py config|flow --no-metrics --no-loki-enabled
"""

import sys
import types


class MemoryTableStore:
    """What `trustgraph.tables.config.ConfigTableStore` does, without Cassandra; values last as long as the process."""

    def __init__(self, cassandra_host, cassandra_username, cassandra_password, keyspace):
        self.values = {}
        self.version = 0

    async def inc_version(self):
        self.version += 1

    async def get_version(self):
        return self.version

    async def put_config(self, cls, key, value):
        self.values[cls, key] = value

    async def get_value(self, cls, key):
        return self.values.get((cls, key))

    async def get_values(self, cls):
        return [[key, value] for (of, key), value in self.values.items() if of == cls]

    async def get_classes(self):
        return sorted({cls for cls, _ in self.values})

    async def get_all(self):
        return [(cls, key, value) for (cls, key), value in self.values.items()]

    async def get_keys(self, cls):
        return [key for of, key in self.values if of == cls]

    async def delete_key(self, cls, key):
        self.values.pop((cls, key), None)


def main():
    kind = sys.argv.pop(1)
    tables = types.ModuleType("trustgraph.tables.config")
    tables.ConfigTableStore = MemoryTableStore
    sys.modules["trustgraph.tables.config"] = tables
    if kind == "config":
        from trustgraph.config.service import run
    else:
        from trustgraph.flow.service import run
    run()


if __name__ == "__main__":
    main()
