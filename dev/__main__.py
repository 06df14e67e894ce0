"""`python -m dev run`: Consentry on this machine, until Ctrl-C."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dev.mistakes import Mistake
from dev.options import Options, parse
from dev.ready import Ready

USAGE: Final = "usage: python -m dev run [--help]"
FOR_PEOPLE: Final = """
Consentry is running; Ctrl-C stops it.
  example application   {acme_url}
  API                   {base_url}
  authorization server  {authorization_server_url}
  AWS endpoint          {aws_endpoint}  (region {region}, access key {access_key_id})
  functions' log        {log_file}
"""


def main(words: Sequence[str]) -> int:
    """Return 0 after Ctrl-C, 2 for a mistake to correct, 1 if a part of the stack ended by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if words[:1] != ["run"]:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return _run(parse(words[1:], os.environ))
    except Mistake as mistake:
        for line in mistake.lines:
            print(line, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _run(options: Options) -> int:
    from dev.run_folder import new_run_folder  # noqa: PLC0415 - mistakes in options are told without the wait
    from dev.services import check_machine  # noqa: PLC0415 - as above

    check_machine()
    _prepare_environment()
    from dev.stack import LocalStack  # noqa: PLC0415 - boto3 and the SAM translator take a second to import

    begun = time.monotonic()
    stack = LocalStack(options, new_run_folder(), lambda line: print(f"consentry: {line}", file=sys.stderr, flush=True))
    try:
        ready = stack.start()
        print(f"consentry: ready after {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
        _announce(ready, json=options.json)
        ended = stack.wait()
        print(f"consentry: {ended} ended; its log is in {Path(ready.log_file).parent}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stack.stop()


def _prepare_environment() -> None:
    """The SAM translator asks boto3 for a region; nothing of the developer's AWS settings takes part."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
        "NO_PROXY": "localhost,127.0.0.1",
    }


def _announce(ready: Ready, *, json: bool) -> None:
    if json:
        print(ready.to_json(), flush=True)
    else:
        values = {name: getattr(ready, name) or "(none)" for name in Ready.__dataclass_fields__}
        print(FOR_PEOPLE.format_map(values), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
