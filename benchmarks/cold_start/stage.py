"""The folders that a function imports from, as Lambda has them: /var/task, /opt/python, and the runtime's own."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cold_start.process import Failed
from consentry.catalogue.compile import compile_folder
from dev.build import runtime as runtime_folder

CONSUMER_LAYER: Final = "ConsentryLayer"
_PROVIDER: Final = """\
id = "benchmark"
name = "Benchmark"
grant = "authorization_code"
checked = 2026-11-22
sources = ["https://localhost/"]
[authorization]
url = "https://localhost/authorize"
pkce = "supported"
default_scopes = ["tickets", "oauth"]
[token]
url = "{url}/token"
client_authentication = "client_secret_post"
body = "form"
keep = ["hub_id"]
account_field = "hub_id"
[refresh]
rotation = "rotates"
reuse_grace_seconds = 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`opt` stands for /opt of Consentry's own functions, `consumer_opt` for that of a consumer's."""

    opt: Path
    consumer_opt: Path
    runtime: Path
    providers: Path

    def path(self, function: Path, opt: Path | None) -> str:
        """Return a PYTHONPATH in Lambda's order."""
        layers = [opt / "python"] if opt else []
        return ":".join(str(each) for each in (function, *layers, self.runtime))

    def own_environment(self, variables: Mapping[str, str], opt: Path) -> dict[str, str]:
        """Lead what the template says about /opt to the folder that stands for it."""
        return {name: value.replace("/opt/", f"{opt}/") for name, value in variables.items()}


def prepare(
    folder: Path, layers: Mapping[str, Path], added_layers: Sequence[Path], certificate: bytes, url: str
) -> Stage:
    """Build the template's layers, by logical id and source folder, and lay everything out in `folder`.

    `added_layers` hold a folder `python` each; Consentry's own functions get them too.
    """
    consumer_opt, opt, runtime, providers = (folder / each for each in ("consumer", "own", "runtime", "providers"))
    consumer_opt.mkdir()
    _build_layer(CONSUMER_LAYER, layers[CONSUMER_LAYER], consumer_opt)
    shutil.copytree(consumer_opt, opt)
    own = [(name, source) for name, source in layers.items() if name != CONSUMER_LAYER]
    for name, source in own:
        _build_layer(name, source, folder / name)
    for layer in (*(folder / name for name, _ in own), *added_layers):
        shutil.copytree(layer, opt, dirs_exist_ok=True)
    shutil.copytree(runtime_folder(lambda _line: None), runtime)
    # The clients verify the endpoint as they would verify AWS and a provider, by a few roots or by many.
    for root in (consumer_opt, opt, runtime):
        for bundle in [*root.rglob("cacert.pem"), *root.rglob("*roots*.pem")]:
            bundle.write_bytes(bundle.read_bytes() + b"\n" + certificate)
    providers.mkdir()
    (folder / "benchmark.toml").write_text(_PROVIDER.format(url=url), encoding="utf-8")
    compile_folder(folder, providers)
    return Stage(opt=opt, consumer_opt=consumer_opt, runtime=runtime, providers=providers)


def _build_layer(name: str, source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    command = ["make", "--silent", "-C", str(source), f"build-{name}"]
    arguments = [f"ARTIFACTS_DIR={target}", f"PYTHON={sys.executable}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"the layer {name} could not be built:\n{done.stderr}")
