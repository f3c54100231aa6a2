"""Publishes messages as other programs may do it, one for each case, and prints the cases: hostile.py EXCHANGE KEY [CASE...]

The body is the name of the case, with spaces behind it where the case is a large body; each message reaches whoever reads the queue.
"""

import datetime
import decimal
import struct
import sys

import pika

import broker

WRONG = b"caf\xe9 \xff\xfe"


class Raw(pika.BasicProperties):
    """Properties that are written as these bytes, flags included."""

    def __init__(self, raw):
        super().__init__()
        self.raw = raw

    def encode(self):
        return [self.raw]


def nested(levels):
    """A header with tables in tables, without the recursion of pika."""
    value = b"F" + struct.pack(">I", 0)
    for _ in range(levels):
        fields = b"\x01k" + value
        value = b"F" + struct.pack(">I", len(fields)) + fields
    table = b"\x04deep" + value
    return Raw(struct.pack(">H", 1 << 13) + struct.pack(">I", len(table)) + table)


def headers(**fields):
    return pika.BasicProperties(headers=fields)


CASES = {
    "content type": pika.BasicProperties(content_type=WRONG),
    "content encoding": pika.BasicProperties(content_encoding=WRONG),
    "correlation id": pika.BasicProperties(correlation_id=WRONG),
    "type and app id": pika.BasicProperties(type=WRONG, app_id=WRONG, message_id=WRONG),
    "header name": pika.BasicProperties(headers={WRONG: "x"}),
    "header value": pika.BasicProperties(headers={"k": WRONG}),
    "nested header name": pika.BasicProperties(headers={"k": {"l": [{WRONG: 1}]}}),
    "weir-id": pika.BasicProperties(headers={"weir-id": WRONG, "weir-from": 5}),
    "numbers": headers(small=1, large=2**62, negative=-5, truth=True, fraction=decimal.Decimal("1.5")),
    "tables": headers(table={"a": {"b": [1, "two", {"c": None}]}}, list=[[], {}], nothing=None),
    "times and bytes": headers(time=datetime.datetime(2026, 1, 1), bytes=b"\x00\xff"),
    "expiration": pika.BasicProperties(expiration="600000"),
    "long name": pika.BasicProperties(headers={"n" * 255: "x"}),
    "many headers": pika.BasicProperties(headers={f"name-{number}": "v" * 20 for number in range(2_000)}),
    "large header": pika.BasicProperties(headers={"large": "v" * 100_000}),
    "largest header": pika.BasicProperties(headers={"large": "v" * 131_030}),
    "long weir-from": pika.BasicProperties(headers={"weir-from": "f" * 60_000}),
    "deep header": nested(30),
    # Enough to overflow the stack of a client that reads them one in the other; a broker takes long over many more.
    "deepest header": nested(4_000),
    "no properties": pika.BasicProperties(),
    "large body": pika.BasicProperties(),
}
LARGE_BYTES = 5 << 20


def main(exchange, key, *wanted):
    connection = broker.connect()
    channel = connection.channel()
    channel.confirm_delivery()
    for case in wanted or CASES:
        body = case.ljust(LARGE_BYTES) if case == "large body" else case
        channel.basic_publish(exchange, key, body.encode(), CASES[case], mandatory=key.startswith(("flow.", "request.")))
        print(case, flush=True)
    connection.close()


main(*sys.argv[1:])
