"""Prints where the botocore of one folder sends each service's requests, and how it signs them, as JSON.

    python endpoints.py FOLDER[:FOLDER...]

Run once on a whole botocore and once on a trimmed one: what they print has to be the same. Nothing is sent.
"""

import itertools
import json
import sys
from typing import Any

type Botocore = Any  # any part of the botocore that was named: found at run time
CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "dynamodb": ("get_item", {"TableName": "t", "Key": {"k": {"S": "v"}}}),
    "events": ("list_event_buses", {}),
    "kms": ("decrypt", {"CiphertextBlob": b"x"}),
    "lambda": ("invoke", {"FunctionName": "f"}),
    "secretsmanager": ("get_secret_value", {"SecretId": "s"}),
    "sqs": ("send_message", {"QueueUrl": "https://queue.example/1/q", "MessageBody": "b"}),
    "sts": ("get_caller_identity", {}),
}
# At least one of each partition, the oldest and one of the newest of the first, and one that does not exist yet.
REGIONS = (
    "us-east-1", "us-west-2", "eu-central-1", "ap-southeast-5", "us-gov-west-1", "us-gov-east-1", "cn-north-1",
    "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "eusc-de-east-1", "eu-nowhere-9",
)  # fmt: skip


class Seen(Exception):
    """Carries the request that would have been sent."""


def look(session: Botocore, service: str, region: str, config: Botocore) -> list[str]:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - of the folder that was named

    def stop(request: Botocore, **_rest: object) -> None:
        authorization = request.headers.get("Authorization", b"").decode()
        raise Seen(request.url, authorization.partition("Credential=")[2].partition(",")[0].split("/", 2)[-1])

    operation, arguments = CALLS[service]
    endpoint = ""
    try:
        client = session.create_client(service, region_name=region, config=config)
        endpoint = client.meta.endpoint_url
        client.meta.events.register("before-send", stop)
        getattr(client, operation)(**arguments)
    except Seen as seen:
        return [endpoint, *seen.args]
    except (BotoCoreError, ValueError) as refused:
        return [endpoint, type(refused).__name__, str(refused)]
    return [endpoint]


def surface(session: Botocore, service: str) -> list[Any]:
    """Return what a client can do: operations, waiters, which operations have pages, and every shape's members."""
    client = session.create_client(service, region_name="us-east-1")
    operations = sorted(client.meta.method_to_api_mapping)
    model = client.meta.service_model
    shapes = {name: sorted(getattr(model.shape_for(name), "members", ())) for name in sorted(model.shape_names)}
    return [operations, client.waiter_names, [each for each in operations if client.can_paginate(each)], shapes]


def main() -> None:
    sys.path[:0] = sys.argv[1].split(":")
    import botocore  # noqa: PLC0415 - as above
    import botocore.session  # noqa: PLC0415 - as above
    from botocore.config import Config  # noqa: PLC0415 - as above

    session: Botocore = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    variants = [
        ("fips" * fips + "dualstack" * dual, Config(use_fips_endpoint=fips, use_dualstack_endpoint=dual))
        for fips, dual in itertools.product((False, True), repeat=2)
    ]
    found = {
        f"{service} {region} {name}": look(session, service, region, config)
        for service in CALLS
        for region in REGIONS
        for name, config in variants
    }
    regions = {service: sorted(session.get_available_regions(service)) for service in CALLS}
    partitions = session.get_available_partitions()
    surfaces = {service: surface(session, service) for service in CALLS}
    answer = {"version": botocore.__version__, "endpoints": found, "regions": regions, "partitions": partitions}
    sys.stdout.write(json.dumps(answer | {"surfaces": surfaces}))


if __name__ == "__main__":
    main()
