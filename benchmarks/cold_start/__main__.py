"""`python -m benchmarks.cold_start`: from the start of a process to its first response, for each function.

Against a function that makes the same AWS calls with boto3 as it comes; alternately, in one run, on loopback HTTPS.
"""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.cold_start import consumer
from benchmarks.cold_start.endpoint import Endpoint
from benchmarks.cold_start.functions import Functions, layers, provision
from benchmarks.cold_start.options import parse
from benchmarks.cold_start.process import Cost, Failed, Started
from benchmarks.cold_start.report import Compared, consumer_row, table
from benchmarks.cold_start.stage import prepare
from benchmarks.cold_start.story import RETURN_URL, Scene, Story, start_backend
from dev.account import REGION, Account

_TOLD_ANEW: Final = 3  # the story's flows end after ten minutes


class Benchmark:
    def __init__(self, folder: Path, added_layers: Sequence[Path], added: Mapping[str, str]) -> None:
        port = start_backend()
        backend = Account(endpoint=f"http://127.0.0.1:{port}")
        self._endpoint = Endpoint(port)
        stage = prepare(folder, layers(backend), added_layers, self._endpoint.certificate, self._endpoint.url)
        self._functions = Functions(
            specs=provision(backend, stage, self._endpoint.url, RETURN_URL),
            stage=stage,
            account=Account(endpoint=self._endpoint.url, secret_access_key=backend.secret_access_key),
            added=added,
        )
        self._story = Story(self._endpoint, self._functions, backend)
        self._story.register()
        self._samples: dict[str, tuple[Scene, list[Cost], list[Cost]]] = {}
        self._programs: list[consumer.Programs] = []
        self._scenes: list[Scene] = []

    def run(self, runs: int, only: str) -> dict[str, Any]:
        """Return medians; raise `Failed` if anything answers otherwise than in the story."""
        try:
            for number in range(runs):
                self._round(number, only)
                print(f"run {number + 1} of {runs}", file=sys.stderr)
        except KeyboardInterrupt:
            print("stopped: these are the runs so far", file=sys.stderr)
        rows = [
            Compared(name=name, calls=_calls(scene), ours=ours, plain=plain).as_row()
            for name, (scene, ours, plain) in self._samples.items()
            if ours and plain
        ]
        return {"functions": rows, "consumer": consumer_row(self._programs) if self._programs else None}

    def _round(self, number: int, only: str) -> None:
        if number % _TOLD_ANEW == 0:
            self._scenes = self._story.tell()
        for scene in self._scenes:
            if only in scene.name:
                self._compare(scene, plain_first=number % 2 == 0)
        reading = next(scene for scene in self._scenes if scene.name == "reader")
        if only in reading.name:
            self._programs.append(consumer.run(self._functions, self._endpoint, reading))

    def _compare(self, scene: Scene, *, plain_first: bool) -> None:
        _, ours, plain = self._samples.setdefault(scene.name, (scene, [], []))
        if plain_first:
            plain.append(self._start_plain(scene).cost)
        started = self._repeated(scene)
        ours.append(started.cost)
        if not plain_first:
            plain.append(self._start_plain(scene).cost)

    def _repeated(self, scene: Scene) -> Started:
        self._endpoint.repeat(scene.tape)
        started = self._functions.start(scene.function, scene.event)
        self._check(scene)
        if _kind(started.answer) != _kind(scene.answer):
            raise Failed(f"{scene.name} answered {started.answer}, before it was {scene.answer}")
        return started

    def _start_plain(self, scene: Scene) -> Started:
        self._endpoint.repeat(scene.tape)
        calls = [each.as_call() for each in scene.tape.exchanges]
        started = self._functions.start_plain(",".join(sorted({service for service, *_ in calls})), {"calls": calls})
        self._check(scene)
        return started

    @staticmethod
    def _check(scene: Scene) -> None:
        unknown, missed = scene.tape.unknown, scene.tape.missed
        if unknown or missed:
            raise Failed(f"{scene.name}: calls that were not made before {unknown}, not made again {missed}")


def _kind(answer: Any) -> object:  # noqa: ANN401 - whatever a function answers
    return answer.get("statusCode", sorted(answer)) if isinstance(answer, dict) else answer


def _calls(scene: Scene) -> list[str]:
    return [f"{each.service}:{each.operation}" for each in scene.tape.exchanges]


def main() -> int:
    arguments = parse(sys.argv[1:])
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)  # the translator of the template asks for one
    added = dict(arguments.set)
    with tempfile.TemporaryDirectory(prefix="cold-start-") as folder:
        try:
            figures = Benchmark(Path(folder), arguments.layer, added).run(arguments.runs, arguments.only)
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
    about = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    print(table(figures["functions"], figures["consumer"]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"on": about, **figures}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
