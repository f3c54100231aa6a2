import os
import socket
import sys
import threading

import weir


@weir.processor
def work(doc: dict):
    match doc["do"]:
        case "exception":
            return doc["missing"]
        case "exit":
            sys.exit("enough")
        case "abort":
            os.abort()
        case "loop":
            while True:
                pass
        case "type":
            return {1, 2}
        case "undeclared":
            weir.send("nowhere", doc)
        case "config":
            return weir.config.get("unnamed", "key")
        case "file":
            return open("/etc/hosts").read()
        case "thread":
            threading.Thread(target=print).start()
        case "socket":
            socket.create_connection(("127.0.0.1", 80))
        case "memory":
            return "x" * (1 << 30)
        case "recursion":
            return work_again(doc)
    return {"done": doc["do"]}


def work_again(doc):
    return work_again(doc)
