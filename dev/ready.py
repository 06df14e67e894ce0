"""What the local stack says once it is ready."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

TOLD: Final = "stack.json"  # in the folder of a run, as long as it runs: what the command line reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Addresses, names and the demo credentials; `ca_bundle` is a path with HTTPS=1, `workers` are process ids.

    `outputs` are the template's, `resources` what Ref answers for each logical id.
    """

    base_url: str
    acme_url: str | None
    authorization_server_url: str | None
    aws_endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    ca_bundle: str | None
    stack: str
    tables: Mapping[str, str]
    keys: Mapping[str, str]
    functions: Mapping[str, str]
    queue_url: str | None
    dead_letter_queue_url: str | None
    log_file: str
    pid: int
    workers: Mapping[str, list[int]] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))
