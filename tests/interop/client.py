"""Sends one request by TrustGraph's own classes and prints the answer as JSON: client.py HOST PORT VHOST config|flow REQUEST

REQUEST is JSON with the fields of ConfigRequest or FlowRequest, for example {"operation": "list", "type": "flow"}.
"""

import asyncio
import dataclasses
import json
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


async def main(host, port, vhost, kind, text):
    impl, request, response, request_queue, response_queue = KINDS[kind]
    fields = json.loads(text)
    for name, of in (("keys", ConfigKey), ("values", ConfigValue)):
        if kind == "config" and name in fields:
            fields[name] = [of(**value) for value in fields[name]]
    backend = get_pubsub(pubsub_backend="rabbitmq", rabbitmq_host=host, rabbitmq_port=int(port), rabbitmq_vhost=vhost)
    names = {"processor": "client", "flow": None}
    client = impl(
        backend=backend, subscription=f"client--{uuid.uuid4()}", consumer_name="client",
        request_topic=request_queue, request_schema=request, request_metrics=ProducerMetrics(**names, name="request"),
        response_topic=response_queue, response_schema=response, response_metrics=SubscriberMetrics(**names, name="response"),
    )
    await client.start()
    try:
        answer = await client.request(request(**fields), timeout=10)
        print(json.dumps(dataclasses.asdict(answer)))
    finally:
        await client.stop()
        backend.close()


asyncio.run(main(*sys.argv[1:]))
