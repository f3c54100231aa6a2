"""Processes that follow the configuration by TrustGraph's classes, come and go: subscribers.py COUNT AT-A-TIME

Each subscribes to the notifies, fetches the value of `prompt`/`greeting` and prints it; every second one kills itself then, as `kill -9` does.
"""

import asyncio
import os
import signal
import sys
import uuid

from trustgraph.base.pubsub import get_pubsub
from trustgraph.schema import ConfigPush, config_push_queue

from client import connect


async def subscribe(number):
    backend = get_pubsub(pubsub_backend=os.environ["PUBSUB_BACKEND"])
    notifies = backend.create_consumer(config_push_queue, f"subscriber--{uuid.uuid4()}", ConfigPush)
    notifies.ensure_connected()
    client = await connect("config", backend)
    os.write(1, f"{await client.get('prompt', 'greeting')}\n".encode())
    if number % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    notifies.close()
    await client.stop()
    backend.close()


def main(count, at_a_time):
    for first in range(0, count, at_a_time):
        children = []
        for number in range(first, min(count, first + at_a_time)):
            child = os.fork()
            if child == 0:
                try:
                    asyncio.run(subscribe(number))
                    os._exit(0)
                except BaseException as error:
                    print(f"subscriber {number}: {error!r}", flush=True)
                    os._exit(1)
            children.append(child)
        for child in children:
            _, status = os.waitpid(child, 0)
            assert status in (0, signal.SIGKILL), status


main(int(sys.argv[1]), int(sys.argv[2]))
