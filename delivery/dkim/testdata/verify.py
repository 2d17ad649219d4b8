"""Verifies the signatures of messages with dkimpy: verify.py RECORDS MESSAGE...

RECORDS is a JSON object of TXT records. A line for each signature says whether it is good.
"""
import json
import sys

try:
    import dkim
    import nacl  # without it, Ed25519 isn't known
except ImportError:
    sys.exit(3)

with open(sys.argv[1]) as f:
    records = json.load(f)


def lookup(name, timeout=5):
    return records[name.decode().rstrip(".")].encode()


for path in sys.argv[2:]:
    with open(path, "rb") as f:
        d = dkim.DKIM(f.read())
    count = sum(name.lower() == b"dkim-signature" for name, _ in d.headers)
    for i in range(count):
        try:
            print(d.verify(i, dnsfunc=lookup))
        except dkim.DKIMException as e:
            print(e)
