"""Sends requests by TrustGraph's own classes, one after the other, and prints the answers as JSON, a line each:
client.py config|flow REQUEST [config|flow REQUEST...]

REQUEST is JSON with the fields of ConfigRequest or FlowRequest, for example {"operation": "list", "type": "flow"}.
"""

import asyncio
import dataclasses
import json
import os
import sys
import uuid

from trustgraph.base.config_client import ConfigClient
from trustgraph.base.metrics import ProducerMetrics, SubscriberMetrics
from trustgraph.base.pubsub import get_pubsub
from trustgraph.base.request_response_spec import RequestResponse
from trustgraph.schema import ConfigKey, ConfigRequest, ConfigResponse, ConfigValue, FlowRequest, FlowResponse
from trustgraph.schema.services import config as config_queues
from trustgraph.schema.services import flow as flow_queues

KINDS = {
    "config": (ConfigClient, ConfigRequest, ConfigResponse, config_queues.config_request_queue, config_queues.config_response_queue),
    "flow": (RequestResponse, FlowRequest, FlowResponse, flow_queues.flow_request_queue, flow_queues.flow_response_queue),
}


async def connect(kind, backend):
    """A started client; metrics of one name can be made only once in a process."""
    impl, request, response, request_queue, response_queue = KINDS[kind]
    names = {"processor": f"client-{kind}", "flow": None}
    client = impl(
        backend=backend, subscription=f"client--{uuid.uuid4()}", consumer_name="client",
        request_topic=request_queue, request_schema=request, request_metrics=ProducerMetrics(**names, name="request"),
        response_topic=response_queue, response_schema=response, response_metrics=SubscriberMetrics(**names, name="response"),
    )
    await client.start()
    return client


def read(kind, text):
    fields = json.loads(text)
    for name, of in (("keys", ConfigKey), ("values", ConfigValue)):
        if kind == "config" and name in fields:
            fields[name] = [of(**value) for value in fields[name]]
    return KINDS[kind][1](**fields)


async def main(arguments):
    backend = get_pubsub(pubsub_backend=os.environ["PUBSUB_BACKEND"])
    clients = {}
    try:
        for kind, text in zip(arguments[::2], arguments[1::2]):
            if kind not in clients:
                clients[kind] = await connect(kind, backend)
            answer = await clients[kind].request(read(kind, text), timeout=20)
            print(json.dumps(dataclasses.asdict(answer)), flush=True)
    finally:
        for client in clients.values():
            await client.stop()
        backend.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
