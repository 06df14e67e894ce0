"""Cuts a copy of boto3 down to what Consentry's functions ask of it: `python dev/trim.py SITE_PACKAGES`.

In place, because another place for the data (`AWS_DATA_PATH`) changes which endpoints are found; docs/adr/0007.
"""

import gzip
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

SERVICES: Final = frozenset({"dynamodb", "events", "kms", "lambda", "secretsmanager", "sqs", "sts"})
"""By the names that boto3 takes, which are those of their folders in botocore/data and of their endpoints."""
EVERY_CLIENT: Final = frozenset({"_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json"})


def trim(packages: Path) -> None:
    """Leave only `SERVICES` in the data of botocore in the folder `packages`, and boto3 without its resources.

    Raise `LookupError` if a file that every client needs is not there, or a service: botocore has moved it then.
    """
    data = packages / "botocore" / "data"
    found = {entry.name for entry in data.iterdir()} if data.is_dir() else set()
    if missing := sorted((SERVICES | EVERY_CLIENT) - found):
        raise LookupError(f"{data} does not hold {', '.join(missing)}: look at where this botocore keeps it")
    for name in sorted(found - SERVICES - EVERY_CLIENT):
        _remove(data / name)
    for example in data.glob("*/*/examples-1.json"):
        example.unlink()
    for packed in data.glob("*/*/*.json.gz"):
        model = json.loads(gzip.decompress(packed.read_bytes()))
        packed.with_suffix("").write_text(_written(_without_documentation(model)))
        packed.unlink()
    endpoints = data / "endpoints.json"
    endpoints.write_text(_written(_only_services(json.loads(endpoints.read_text()))))
    _remove(packages / "boto3" / "data")
    _remove(packages / "boto3" / "examples")


def _only_services(endpoints: dict[str, Any]) -> dict[str, Any]:
    """Every partition and region stays; parsing the entries of 400 services cost more than the rest of a session."""
    partitions = [
        {**partition, "services": {name: told for name, told in partition["services"].items() if name in SERVICES}}
        for partition in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def _without_documentation(model: Any) -> Any:  # noqa: ANN401 - any JSON
    """Cut what is for readers, most of a model. A member that is called so is described by an object, and stays."""
    if isinstance(model, dict):
        return {
            name: _without_documentation(value)
            for name, value in model.items()
            if not (name == "documentation" and isinstance(value, str))
        }
    return [_without_documentation(value) for value in model] if isinstance(model, list) else model


def _written(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def main(words: Sequence[str]) -> int:
    try:
        trim(Path(words[0]))
    except LookupError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
