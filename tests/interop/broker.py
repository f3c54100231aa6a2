"""The broker that the environment names, as for TrustGraph's own programs, with pika alone."""

import os

import pika


def connect():
    credentials = pika.PlainCredentials(os.environ["RABBITMQ_USERNAME"], os.environ["RABBITMQ_PASSWORD"])
    parameters = pika.ConnectionParameters(
        host=os.environ["RABBITMQ_HOST"], port=int(os.environ["RABBITMQ_PORT"]), virtual_host=os.environ["RABBITMQ_VHOST"], credentials=credentials
    )
    return pika.BlockingConnection(parameters)
