"""Makes one JSON of a folder's provider files, checked as they are when they are read: for the build of a layer.

    python -m consentry.catalogue.compile FOLDER [TARGET]

The files themselves are left where they are; a folder that holds both is refused at the first look. With a TARGET they
are additional ones, and none may have the id of a built-in provider.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from consentry.catalogue.load import load_directory
from consentry.catalogue.lookup import BUILT_IN, COMPILED, Catalogue, ProviderFileInvalid

_USAGE = (
    "python -m consentry.catalogue.compile FOLDER [TARGET]: the folder of provider files, and where their JSON goes"
)
_MISUSED = 2


def compile_folder(folder: Path, target: Path | None = None, *, beside: Sequence[Path] = ()) -> Path:
    """Write `catalogue.json`, the same bytes for the same files; return its path.

    Raises `ProviderFileInvalid` for the first file with mistakes, for one that only a loopback origin would allow, for
    one whose id a folder of `beside` has already, and for a folder without provider files.
    """
    providers = load_directory(folder)
    if not providers:
        raise ProviderFileInvalid(str(folder), ["holds no .toml file"])
    if beside:
        together = Catalogue((*beside, folder))
        for provider_id in providers:
            together.provider(provider_id)  # refuses here what would be refused at each flow
    table = {provider_id: asdict(provider) for provider_id, provider in sorted(providers.items())}
    file = (target or folder) / COMPILED
    file.write_text(json.dumps(table, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    return file


def main(arguments: Sequence[str]) -> int:
    if not arguments or len(arguments) > _MISUSED or arguments[0].startswith("-"):
        print(_USAGE, file=sys.stderr)  # noqa: T201 - a program's answer
        return _MISUSED
    try:
        folder, *target = map(Path, arguments)
        compile_folder(folder, *target, beside=(BUILT_IN,) if target else ())
    except (ProviderFileInvalid, OSError) as mistake:
        print(mistake, file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
