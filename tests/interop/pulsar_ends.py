"""Writes and reads topics of a Pulsar with its own client for Python, as programs that know nothing of Weir do.

pulsar_ends.py write TOPIC one|batch MESSAGE...       MESSAGE is JSON: {"body": TEXT, "properties": {NAME: VALUE}}; `batch` sends all in one entry
pulsar_ends.py read TOPIC SUBSCRIPTION TYPE COUNT     TYPE is Shared or Exclusive; prints each message as JSON, a line each, and acknowledges it
pulsar_ends.py join TOPIC SUBSCRIPTION TYPE           prints `joined`, or why not, and leaves
"""

import json
import os
import sys

import pulsar

TIMEOUT_MS = 20_000


def connect():
    token = os.environ.get("PULSAR_API_KEY")
    authentication = pulsar.AuthenticationToken(token.strip()) if token else None
    logger = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
    return pulsar.Client(os.environ["PULSAR_HOST"], authentication=authentication, operation_timeout_seconds=10, logger=logger)


def write(client, topic, manner, *messages):
    batch = {"batching_enabled": True, "batching_max_messages": len(messages), "batching_max_publish_delay_ms": 1000}
    producer = client.create_producer(topic, **(batch if manner == "batch" else {"batching_enabled": False}))
    for message in map(json.loads, messages):
        producer.send_async(message["body"].encode(), lambda result, _: check(result), properties=message["properties"])
    producer.flush()
    producer.close()


def check(result):
    assert result == pulsar.Result.Ok, result


def subscribe(client, topic, subscription, kind):
    return client.subscribe(topic, subscription, consumer_type=pulsar.ConsumerType.__members__[kind], initial_position=pulsar.InitialPosition.Earliest)


def read(client, topic, subscription, kind, count):
    consumer = subscribe(client, topic, subscription, kind)
    for _ in range(int(count)):
        message = consumer.receive(timeout_millis=TIMEOUT_MS)
        seen = {"body": message.data().decode(), "properties": message.properties(), "redelivered": message.redelivery_count()}
        print(json.dumps(seen), flush=True)
        consumer.acknowledge(message)
    consumer.close()


def join(client, topic, subscription, kind):
    try:
        subscribe(client, topic, subscription, kind).close()
        print("joined")
    except pulsar.PulsarException as error:
        print(type(error).__name__)


def main(operation, *arguments):
    client = connect()
    {"write": write, "read": read, "join": join}[operation](client, *arguments)
    client.close()


main(*sys.argv[1:])
