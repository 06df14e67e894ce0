"""Puts the local stack together, in the order in which each part needs the ones before it."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from dev import tls
from dev.account import Account
from dev.addresses import Addresses
from dev.build import ImportPath, build, take_built
from dev.bus import Bus
from dev.deployment import Deployment, read_deployment
from dev.enrolment import Enrolment, prepare
from dev.gateway import Api, Gateway
from dev.invoke import InvokeServer
from dev.options import Options
from dev.own_functions import with_own_functions
from dev.pollers import QueuePoller, StreamPoller
from dev.provision import Place, Provisioner
from dev.ready import TOLD, Ready
from dev.run_folder import FunctionLog
from dev.runtime import Functions, FunctionSpec, Pool
from dev.scheduler import Scheduler, is_on
from dev.services import Services, choose_ports, start_worker
from dev.supervisor import Supervisor
from dev.template import load
from dev.workers import Surroundings

STACK: Final = "consentry-local"
WATCH_SECONDS: Final = 0.5


class LocalStack:
    """One run; `folder` takes its logs, certificates and provider files, `say` its progress."""

    def __init__(self, options: Options, folder: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._folder = folder
        self._say = say
        self._supervisor = Supervisor()
        self._services = Services(self._supervisor, folder)
        self._invoke = InvokeServer()
        self._log = FunctionLog(folder / "functions.log")
        self._told = folder / TOLD
        self._stopping = threading.Event()
        self._ca_bundle = folder / "ca.pem" if options.https else None
        ports = choose_ports(options.port)
        self._gateway = Gateway(ports.gateway, tls.server_context(self._ca_bundle) if self._ca_bundle else None)
        any_loopback = options.allow_loopback_providers
        self._addresses = Addresses(gateway=self._gateway.url, ports=ports, any_loopback_provider=any_loopback)
        self._account = Account(endpoint=self._addresses.aws)

    def start(self) -> Ready:
        """Start everything; raise `Mistake` for what a person has to correct first."""
        provider_files = self._folder / "providers"
        provider_files.mkdir()
        enrolment = None if self._options.bare else prepare(self._options, self._addresses, provider_files)
        place = Place(stack=STACK, region=self._account.region, base_url=self._addresses.gateway)
        parameters = self._addresses.parameters(self._options, provider_files)
        starting = self._start_servers()
        template = load(self._options.template, parameters, place.pseudo_parameters)
        import_path = (take_built if self._options.built else build)(template.layers, self._say)
        for module, (port, log) in starting.items():
            self._services.wait_for(module, port, log)
        self._say("creating the template's resources")
        provisioner = Provisioner(template, place, self._account.client)
        provisioner.create_all()
        deployment = read_deployment(template, provisioner, self._options.template.parent)
        if self._options.functions:
            deployment = with_own_functions(deployment, self._options.functions, self._addresses.gateway)
        self._start_functions(deployment, import_path)
        self._start_events(deployment, provisioner)
        ready = self._ready(deployment, provisioner)
        ready = self._introduce(enrolment, deployment, ready) if enrolment else ready
        self._told.write_text(ready.to_json())
        return ready

    def wait(self) -> str:
        """Return the name of a server that ended by itself; wait for ever while all are well."""
        while not (ended := self._supervisor.ended_service()):
            self._stopping.wait(WATCH_SECONDS)
        return ended

    def stop(self) -> None:
        self._stopping.set()
        self._told.unlink(missing_ok=True)
        self._supervisor.stop()

    def _start_servers(self) -> dict[str, tuple[int, Path]]:
        """Start what takes a moment; return the port and log of each, by module."""
        self._say("starting the AWS endpoint")
        self._invoke.start()
        ports = self._addresses.ports
        arguments = ["--port", str(ports.aws), "--functions", str(self._invoke.port)]
        starting = {"dev.backend": (ports.aws, self._services.start("dev.backend", arguments))}
        if not self._options.bare:
            self._say("starting the authorization server")
            log = self._services.start("dev.authserver", self._server_arguments())
            starting["dev.authserver"] = (ports.authorization_server, log)
        return starting

    def _server_arguments(self) -> list[str]:
        flags = {
            "--port": self._addresses.ports.authorization_server,
            "--access-ttl": self._options.access_ttl_seconds,
            "--rotation": self._options.rotation or None,
            "--grace": self._options.grace_seconds,
        }
        return [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]

    def _start_functions(self, deployment: Deployment, import_path: ImportPath) -> None:
        surroundings = Surroundings(self._account, import_path, read_only=self._options.built)

        def start(spec: FunctionSpec, port: int) -> subprocess.Popen[bytes]:
            environment = surroundings.environment_of(spec, port)
            return start_worker(self._supervisor, spec.handler, spec.folder, environment)

        functions = Functions([Pool(spec, start, self._log) for spec in deployment.functions])
        self._invoke.functions = functions
        self._gateway.open(Api(deployment.routes, functions, self._account.verifier()))

    def _start_events(self, deployment: Deployment, provisioner: Provisioner) -> None:
        functions = self._invoke.functions or Functions([])
        self._invoke.bus = bus = Bus(deployment.rules, functions)
        client, say, stopping = self._account.client, self._say, self._stopping
        for source in deployment.event_sources:
            if source.service == "sqs":
                QueuePoller(source, client("sqs"), functions, say, self._account.region, stopping).start()
            else:
                StreamPoller(source, client("dynamodbstreams"), client("sqs"), functions, say, stopping).start()
        scheduler = Scheduler(
            deployment.schedules,
            provisioner.tables_with_ttl,
            functions,
            client("dynamodb"),
            self._options.tick_seconds,
            say,
            stopping,
            is_on=partial(is_on, client("scheduler")),
        )
        self._invoke.control = {"workers": functions.pids, "tick": scheduler.tick, "events": bus.recent}
        scheduler.start()

    def _introduce(self, enrolment: Enrolment, deployment: Deployment, ready: Ready) -> Ready:
        """Register the integrations and start the example application, which is told everything that `ready` says."""
        self._say(f"registering {len(enrolment.offers)} integrations")
        enrolment.register(deployment.environment, self._account, self._addresses)
        if importlib.util.find_spec("dev.acme") is None:
            self._say("there is no example application here (dev/acme); going on without it")
            return ready
        self._say("starting Acme, the example application")
        port = self._addresses.ports.acme
        told = dataclasses.replace(ready, acme_url=self._addresses.acme)
        log = self._services.start("dev.acme", ["--port", str(port)], {"CONSENTRY_STACK_JSON": told.to_json()})
        self._services.wait_for("dev.acme", port, log)
        return told

    def _ready(self, deployment: Deployment, provisioner: Provisioner) -> Ready:
        told = deployment.environment
        queue_url, dead_letters = self._queues(deployment)
        return Ready(
            base_url=self._addresses.gateway,
            acme_url=None,
            authorization_server_url=None if self._options.bare else self._addresses.authorization_server,
            aws_endpoint=self._account.endpoint,
            region=self._account.region,
            access_key_id=self._account.access_key_id,
            secret_access_key=self._account.secret_access_key,
            ca_bundle=str(self._ca_bundle) if self._ca_bundle else None,
            stack=STACK,
            tables=_named(told, "TABLE", ("connections", "pending", "integrations")),
            keys=_named(told, "KEY", ("access", "grant", "other_access", "other_grant")),
            functions={spec.logical_id: spec.name for spec in deployment.functions},
            queue_url=queue_url,
            dead_letter_queue_url=dead_letters,
            log_file=str(self._log.path),
            pid=os.getpid(),
            outputs=provisioner.outputs(),
            resources=provisioner.names(),
        )

    def _queues(self, deployment: Deployment) -> tuple[str | None, str | None]:
        """Return the URLs of the queue that feeds a function, and of its dead-letter queue."""
        source = next((source for source in deployment.event_sources if source.service == "sqs"), None)
        if source is None:
            return None, None
        sqs = self._account.client("sqs")
        url = str(sqs.get_queue_url(QueueName=source.source_arn.rpartition(":")[2])["QueueUrl"])
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"]).get("Attributes", {})
        policy = json.loads(told.get("RedrivePolicy", "{}"))
        name = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]
        return url, str(sqs.get_queue_url(QueueName=name)["QueueUrl"]) if name else None


def _named(environment: Mapping[str, str], kind: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return what the functions are told of as CONSENTRY_<NAME>_<KIND>."""
    told = {name: environment.get(f"CONSENTRY_{name.upper()}_{kind}", "") for name in names}
    return {name: value for name, value in told.items() if value}
