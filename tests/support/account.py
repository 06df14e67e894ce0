"""Sessions and clients of a running stack's account, each made once: boto3 reads megabytes to make one."""

from functools import cache
from typing import Any

import boto3


@cache
def session_of(access_key_id: str, secret_access_key: str, region: str) -> boto3.Session:
    return boto3.Session(access_key_id, secret_access_key, region_name=region)


@cache
def client_of(session: boto3.Session, service: Any, endpoint: str) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
    return session.client(service, endpoint_url=endpoint)
