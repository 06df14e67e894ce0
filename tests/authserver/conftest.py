import threading
import time
from collections.abc import Iterator

import pytest

from dev.authserver.options import Options
from dev.authserver.server import listen
from dev.authserver.simulation import Simulation
from tests.authserver.driver import Driver, VirtualClock


@pytest.fixture(scope="session")
def running() -> Iterator[tuple[Simulation, VirtualClock]]:
    clock = VirtualClock(time.time())
    server, simulation = listen(0, Options(), clock)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield simulation, clock
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def servers(running: tuple[Simulation, VirtualClock]) -> Driver:
    """Freshly reset servers, strict, with the client `app` at the generic system."""
    simulation, clock = running
    simulation.reset()
    simulation.sleep = time.sleep
    driver = Driver(simulation, clock)
    driver.register()
    return driver
