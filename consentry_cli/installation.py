"""A deployment by its names: read from CloudFormation, or from what the local stack leaves while it runs."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from consentry_cli.aws import Aws, plainly
from consentry_cli.failures import Exit, Failure
from consentry_cli.transport import Https, Transport

RUNS: Final = Path(".local") / "runs"
TOLD: Final = "stack.json"
LOCAL_STACK: Final = "CONSENTRY_LOCAL_STACK"
_REPOSITORY: Final = Path(__file__).resolve().parent.parent
_ANY_LOOPBACK: Final = frozenset({"*"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Outputs by name, resources by logical id. `status` is CloudFormation's, and empty for the local stack."""

    stack: str
    region: str
    base_url: str
    aws: Aws
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    status: str = ""
    local: bool = False
    send: Transport = field(default_factory=Https)
    provider_folders: tuple[Path, ...] = ()
    provider_origins: frozenset[str] = field(default=frozenset())

    def output(self, name: str, remedy: str = "is it Consentry, and of this version? Deploy it again.") -> str:
        if name in self.outputs:
            return self.outputs[name]
        raise Failure(f"The stack {self.stack} has no output {name}: {remedy}", Exit.NOT_FOUND, "output_missing")

    def secret_name(self, integration: str) -> str:
        return f"consentry/{self.stack}/integrations/{integration}"


def deployed(stack: str, *, profile: str | None, region: str | None) -> Installation:
    """Read the stack's outputs and resources; raise `Failure` if it is not there or may not be read."""
    import boto3  # noqa: PLC0415 - half a second that `--help` need not take

    if not stack:
        raise Failure("The stack's name is empty: name it with --stack.", Exit.USAGE, "no_stack_name")
    with plainly("cloudformation"):
        aws = Aws(boto3.Session(profile_name=profile, region_name=region))
    found = _described(aws, stack)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}
    listed = aws.pages("cloudformation", "list_stack_resources", StackName=stack)
    resources = {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
        for page in listed
        for each in page["StackResourceSummaries"]
    }
    if "BaseUrl" not in outputs:
        sentence = f"The stack {stack} is not Consentry, or was never deployed whole ({found['StackStatus']})."
        raise Failure(sentence, Exit.NOT_FOUND, "not_consentry")
    return Installation(
        stack=stack,
        region=aws.session.region_name,
        base_url=outputs["BaseUrl"],
        aws=aws,
        outputs=outputs,
        resources=resources,
        status=found["StackStatus"],
    )


def _described(aws: Aws, stack: str) -> Mapping[str, Any]:
    client = aws.client("cloudformation")
    try:
        with plainly("cloudformation"):
            return next(iter(client.describe_stacks(StackName=stack)["Stacks"]))
    except Failure as failure:
        if failure.exit_code is not Exit.NOT_FOUND:
            raise
        where = f"{aws.session.region_name}"
        sentence = f"There is no stack {stack} in {where}: name it with --stack and --region, or use --local."
        raise Failure(sentence, Exit.NOT_FOUND, "no_stack") from None


def local(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Installation:
    """Read what the latest running `make run` left; `CONSENTRY_LOCAL_STACK` may name the file of another."""
    import boto3  # noqa: PLC0415 - as above

    told = _told(os.environ if environment is None else environment, folder)
    session = boto3.Session(told["access_key_id"], told["secret_access_key"], region_name=told["region"])
    return Installation(
        stack=told["stack"],
        region=told["region"],
        base_url=told["base_url"],
        aws=Aws(session, told["aws_endpoint"]),
        outputs=told["outputs"],
        resources=told["resources"],
        local=True,
        send=Https(verify=told["ca_bundle"] or True, local=True),
        provider_folders=(Path(told["log_file"]).parent / "providers",),
        provider_origins=_ANY_LOOPBACK,
    )


def _told(environment: Mapping[str, str], folder: Path | None) -> Mapping[str, Any]:
    if named := environment.get(LOCAL_STACK):
        return _read(Path(named))
    for file in _files(folder):
        told = _read(file)
        if _runs(told["pid"]):
            return told
    raise Failure("No local stack is running: start it with `make run`.", Exit.UNAVAILABLE, "no_local_stack")


def _files(folder: Path | None) -> Iterator[Path]:
    """Yield what running stacks left here, or else in the repository; the latest first."""
    for root in dict.fromkeys([folder or Path.cwd(), _REPOSITORY]):
        yield from sorted((root / RUNS).glob(f"*/{TOLD}"), reverse=True)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        told: Mapping[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        sentence = f"{file} cannot be read: it is written by `make run`, and gone when that ends."
        raise Failure(sentence, Exit.UNAVAILABLE, "no_local_stack") from None
    return told


def _runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except OSError:
        return False
    return True
