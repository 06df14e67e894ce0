"""One process of a crowd of readers: `python -m tests.support.crowd TENANT INTEGRATION THREADS`.

Reads a token, prints its generation and waits for a line; then all its threads at once say that it was rejected. Prints
the generations that they got.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from consentry import Vault


def say(*generations: int) -> None:
    sys.stdout.write(" ".join(map(str, generations)) + "\n")
    sys.stdout.flush()


def main() -> None:
    tenant, integration, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    vault, together = Vault(), threading.Barrier(threads)
    rejected = vault.token(tenant, integration)
    say(rejected.generation)
    sys.stdin.readline()

    def renew(_number: int) -> int:
        together.wait(60)
        token = vault.renewed(tenant, integration, rejected=rejected)
        return token.generation if token else 0

    with ThreadPoolExecutor(threads) as pool:
        say(*pool.map(renew, range(threads)))


if __name__ == "__main__":
    main()
