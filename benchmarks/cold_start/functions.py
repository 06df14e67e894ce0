"""The template's functions as this benchmark starts them, and those that they are measured against."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cold_start.process import Started, cold_start
from benchmarks.cold_start.stage import Stage
from dev.account import Account
from dev.build import ImportPath
from dev.deployment import read_deployment
from dev.options import REPOSITORY
from dev.provision import Place, Provisioner
from dev.runtime import FunctionSpec
from dev.template import load
from dev.workers import Surroundings

SAMPLES: Final = Path(__file__).with_name("samples")
CONSUMERS: Final = frozenset({"TicketsFunction", "reader"})
TEMPLATE: Final = REPOSITORY / "template.yaml"
STACK: Final = "benchmark"


def layers(account: Account) -> Mapping[str, Path]:
    """Return the source folders of the template's layers, by logical id."""
    return load(TEMPLATE, {}, _place(account).pseudo_parameters).layers


def _place(account: Account) -> Place:
    return Place(stack=STACK, region=account.region, base_url="https://vault.example.com")


def provision(account: Account, stage: Stage, url: str, return_url: str) -> Mapping[str, FunctionSpec]:
    """Create the template's resources; return its functions, told of them."""
    place = _place(account)
    parameters = {
        "PublicBaseUrl": place.base_url,
        "ReturnUrls": return_url,
        "ProviderFiles": str(stage.providers),
        "DeployExamples": "true",
        "DeployTransfer": "true",
        "HubSpotApiBase": url,
        "MinRefreshSeconds": "0",
    }
    template = load(TEMPLATE, parameters, place.pseudo_parameters)
    provisioner = Provisioner(template, place, account.client)
    provisioner.create_all()
    return {spec.logical_id: spec for spec in read_deployment(template, provisioner, TEMPLATE.parent).functions}


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """`account` is what the functions call; `added` are variables for Consentry's own functions alone."""

    specs: Mapping[str, FunctionSpec]
    stage: Stage
    account: Account
    added: Mapping[str, str]

    def environment(self, function: str) -> Mapping[str, str]:
        """Return what the template tells the function."""
        return self.specs["TicketsFunction" if function == "reader" else function].environment

    def start(self, function: str, event: object) -> Started:
        """Start one of the template's functions, or `reader`, cold."""
        folder = SAMPLES / "reader" if function == "reader" else self.specs[function].folder
        opt = self.stage.consumer_opt if function in CONSUMERS else self.stage.opt
        own = {} if function in CONSUMERS else self.added
        told = self.stage.own_environment({**self.environment(function), **own}, opt)
        return cold_start(folder, self._surrounded(folder, told, self.stage.path(folder, opt)), event)

    def start_plain(self, services: str, event: object) -> Started:
        """Start the function that makes the same calls with boto3 as it comes."""
        folder = SAMPLES / "plain"
        told = {"PLAIN_SERVICES": services}
        return cold_start(folder, self._surrounded(folder, told, self.stage.path(folder, None)), event)

    def consumer_environment(self) -> dict[str, str]:
        """Return the environment of a consumer's process that has boto3's own roots to verify AWS with."""
        told = {name: value for name, value in self.environment("reader").items() if name != "AWS_CA_BUNDLE"}
        return self._surrounded(SAMPLES, told, self.stage.path(SAMPLES, self.stage.consumer_opt))

    def _surrounded(self, folder: Path, told: Mapping[str, str], path: str) -> dict[str, str]:
        spec = FunctionSpec(
            logical_id="Benchmark",
            name="benchmark",
            arn="",
            handler="app.handler",
            folder=folder,
            environment=told,
            log_format="JSON",
        )
        given = Surroundings(self.account, ImportPath(layers={}, runtime=self.stage.runtime)).environment_of(spec, 0)
        return {**given, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
