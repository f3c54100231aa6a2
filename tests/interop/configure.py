"""Uses each method of TrustGraph's ConfigClient and checks what it returns; leaves `prompt`/`suffix` set to the argument: configure.py SUFFIX"""

import asyncio
import os
import sys

from trustgraph.base.pubsub import get_pubsub

from client import connect


async def main(suffix):
    backend = get_pubsub(pubsub_backend=os.environ["PUBSUB_BACKEND"])
    client = await connect("config", backend)
    try:
        assert await client.get("interop", "none") is None
        assert await client.keys("interop") == []
        await client.put("interop", "one", "Grüße \u0000 \"1\"")
        await client.put_many([("interop", "two", "2"), ("interop", "three", ""), ("prompt", "suffix", suffix)])
        assert await client.get("interop", "one") == "Grüße \u0000 \"1\""
        assert await client.get("interop", "three") == ""
        assert sorted(await client.keys("interop")) == ["one", "three", "two"]
        await client.delete("interop", "one")
        await client.delete("interop", "one")
        assert await client.keys("interop") == ["three", "two"]
        await client.delete_many([("interop", "two"), ("interop", "three"), ("interop", "four")])
        assert await client.keys("interop") == []
        large = "x" * (3 << 20)
        await client.put("interop", "large", large)
        assert await client.get("interop", "large") == large
        await client.delete("interop", "large")
    finally:
        await client.stop()
        backend.close()


asyncio.run(main(*sys.argv[1:]))
