"""Writes into a built template for which processor it was built: `python -m dev.pin arm64|x86_64 [TEMPLATE]`.

Functions on the other processor could not import the layer's compiled packages. So that nobody deploys them, with a
parameter from elsewhere or after another build, the template then allows that processor alone: CloudFormation refuses
any other value before it changes anything.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dev.options import BUILT_TEMPLATE

_DECLARED: Final = re.compile(
    r"^(  Architecture:\n(?:    .*\n)*?    AllowedValues:\n)(?:    - .*\n)+    Default: .*\n", re.MULTILINE
)


def pinned(template: str, architecture: str) -> str:
    """Return the text of a template, as SAM writes it, that allows one value of its parameter `Architecture`.

    Raise `LookupError` if it does not declare that parameter with its allowed values, and then a default.
    """
    text, found = _DECLARED.subn(rf"\g<1>    - {architecture}\n    Default: {architecture}\n", template)
    if found != 1:
        raise LookupError("does not declare the parameter Architecture as template.yaml does: look at dev/pin.py")
    return text


def main(words: Sequence[str]) -> int:
    architecture, *path = words
    template = Path(*path) if path else BUILT_TEMPLATE
    try:
        template.write_text(pinned(template.read_text(encoding="utf-8"), architecture), encoding="utf-8")
    except (LookupError, OSError) as wrong:
        print(f"{template}: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
