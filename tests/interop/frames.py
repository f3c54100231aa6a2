"""Sends requests as bare messages and prints what their service publishes: frames.py config|flow REQUEST...

For each request one line of JSON: what was published until the answer came, in order, the answer last, each with its routing key, the properties
that are set, and the body. Answers to others are left out.
"""

import json
import sys

import pika

import broker


def properties_of(frame):
    return {name: value for name, value in vars(frame).items() if value is not None}


def main(service, *requests):
    connection = broker.connect()
    channel = connection.channel()
    # One queue for both, so that their order is seen.
    queue = channel.queue_declare("", exclusive=True).method.queue
    for key in (f"response.{service}", "notify.config"):
        channel.queue_bind(queue, "tg", key)
    for number, request in enumerate(requests):
        id = f"request-{number}"
        properties = pika.BasicProperties(headers={"id": id}, content_type="application/json", delivery_mode=1)
        channel.basic_publish("tg", f"request.{service}", request.encode(), properties)
        seen = []
        for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=20):
            if method is None:
                raise TimeoutError(f"no answer to {request}")
            if method.routing_key.startswith("response.") and (properties.headers or {}).get("id") != id:
                continue
            seen.append({"key": method.routing_key, "properties": properties_of(properties), "body": json.loads(body)})
            if method.routing_key.startswith("response."):
                break
        print(json.dumps(seen), flush=True)
    connection.close()


main(*sys.argv[1:])
