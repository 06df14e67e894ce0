"""Where no request may go, whoever names the host and whatever it resolves to (S-12, S-35)."""

import ipaddress
import re
import socket
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from consentry import http
from consentry.addresses import is_public
from consentry.catalogue.load import BUILT_IN, Catalogue
from consentry.catalogue.rules import url_problems
from consentry.errors import Misconfigured
from consentry.http import ProviderClient, verifying_context
from consentry.network import Address, Network
from consentry.oauth.provider import Provider
from consentry.oauth.variables import InvalidVariable, checked_variables, rendered, urls_of
from consentry.oauth.wire import TokenRequest
from consentry.ports import NotDelivered
from tests.support.network import OTHER_PUBLIC, PUBLIC, Wires, always, in_turn, numeric
from tests.unit.test_http import AMPLE, NAME, OK, Server, certified, request_to, saying, serving

CORPUS: Final = tomllib.loads((Path(__file__).parents[1] / "vectors" / "ssrf.toml").read_text(encoding="utf-8"))
INPUTS: Final = [each for group in CORPUS["inputs"].values() for each in group]
INTERNAL: Final[dict[str, str]] = CORPUS["names"]
ZENDESK: Final = Catalogue((BUILT_IN,)).provider("zendesk")
SUFFIX: Final = ".zendesk.com"


def hosts(provider: Provider) -> set[str]:
    return {url.partition("://")[2].partition("/")[0] for url in urls_of(provider).values() if url}


def as_attacked(host: str, port: int) -> Sequence[Address]:
    """Resolve any spelling of an address, and those names that lead inside; no name server is asked."""
    inside = INTERNAL.get(host.rstrip(".").lower())
    return numeric(inside or host, port)


def post_to(url: str) -> TokenRequest:
    return TokenRequest(method="POST", url=url, headers={}, body=b"client_secret=CNRY-ssrf")


def test_the_corpus_is_large_and_has_nothing_twice() -> None:
    assert len(INPUTS) == len(set(INPUTS)) >= 200


@pytest.mark.parametrize("text", INPUTS)
def test_an_input_of_the_corpus_is_refused_or_stays_below_the_providers_own_name(text: str) -> None:
    try:
        values = checked_variables(ZENDESK, {"subdomain": text})
    except InvalidVariable:
        with pytest.raises(Misconfigured):
            rendered(ZENDESK, {"subdomain": text})  # not even out of a record
        return
    assert hosts(rendered(ZENDESK, values)) == {text + SUFFIX}
    assert "." not in text


def test_most_of_the_corpus_is_refused() -> None:
    """What is left are words such as `localhost`, which mean nothing below the provider's name."""
    left = {text for text in INPUTS if _is_accepted(text)}
    assert left == set(CORPUS["harmless"]["below_the_name"])


def _is_accepted(text: str) -> bool:
    try:
        return bool(checked_variables(ZENDESK, {"subdomain": text}))
    except InvalidVariable:
        return False


@pytest.mark.parametrize("text", INPUTS)
def test_an_input_of_the_corpus_as_a_whole_host_is_never_connected_to(text: str) -> None:
    """Even if a provider's file named it: nothing on this machine, in this network, or of the cloud answers."""
    wires = Wires(as_attacked)
    with pytest.raises(NotDelivered) as raised:
        ProviderClient(network=wires.network).send(post_to(f"https://{text}/token"), deadline_seconds=AMPLE)
    assert wires.connections == []
    assert "CNRY" not in str(raised.value)
    assert len(text) < len("acme") or text not in str(raised.value)


@pytest.mark.parametrize("ip", CORPUS["addresses"]["refused"])
def test_an_address_that_the_internet_does_not_reach_is_refused(ip: str) -> None:
    assert not is_public(ip)
    wires = always(ip)
    with pytest.raises(NotDelivered, match="address_not_public"):
        ProviderClient(network=wires.network).send(post_to("https://provider.test/token"), deadline_seconds=AMPLE)
    assert wires.connections == []


@pytest.mark.parametrize("ip", CORPUS["addresses"]["public"])
def test_a_public_address_is_taken(ip: str) -> None:
    assert is_public(ip)


@given(st.ip_addresses(v=4))
def test_an_address_of_ipv4_in_ipv6_is_as_public_as_it_is_itself(ip: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        inside = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(ip))
        assert is_public(str(inside)) == is_public(str(ip))


@given(st.ip_addresses())
def test_nothing_that_the_registries_call_private_is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        assert not is_public(str(ip)) or str(ip).startswith(("64:ff9b::", "::ffff:"))


@given(st.text(max_size=80) | st.from_regex(r"[a-z0-9.@:/\-]{1,70}", fullmatch=True))
def test_whatever_is_accepted_renders_to_hosts_below_the_suffix(text: str) -> None:
    if _is_accepted(text):
        provider = rendered(ZENDESK, {"subdomain": text})
        assert all(host.endswith(SUFFIX) and host.count(".") == 2 for host in hosts(provider))
        assert all(list(url_problems(url, frozenset())) == [] for url in urls_of(provider).values() if url)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    with serving(saying(OK), certified(authority, NAME)) as running:
        yield running


def client_of(authority: trustme.CA, wires: Wires) -> ProviderClient:
    context = verifying_context()
    authority.configure_trust(context)
    return ProviderClient(context, network=wires.network)


def test_a_name_is_looked_up_once_and_only_the_address_that_was_checked_is_connected_to(
    authority: trustme.CA, server: Server
) -> None:
    """A rebinding name server: public when it is checked, this machine when it is connected to."""
    wires = in_turn([PUBLIC], ["127.0.0.1"], ["169.254.169.254"])
    answer = client_of(authority, wires).send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert answer.status == 200
    assert (wires.asked, wires.connections) == ([NAME], [PUBLIC])


def test_the_next_request_looks_the_name_up_and_checks_it_anew(authority: trustme.CA, server: Server) -> None:
    wires = in_turn([PUBLIC], ["127.0.0.1"])
    client = client_of(authority, wires)
    assert client.send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE).status == 200
    with pytest.raises(NotDelivered, match="address_not_public"):
        client.send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert wires.connections == [PUBLIC]


@pytest.mark.parametrize("ips", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [OTHER_PUBLIC, "fd00:ec2::254"]])
def test_one_address_inside_is_enough_to_connect_to_none(authority: trustme.CA, ips: list[str]) -> None:
    wires = always(*ips)
    with pytest.raises(NotDelivered, match="address_not_public"):
        client_of(authority, wires).send(request_to(1, "https", NAME), deadline_seconds=AMPLE)
    assert wires.connections == []


def test_an_address_that_does_not_answer_gives_way_to_the_next_that_was_checked(
    authority: trustme.CA, server: Server
) -> None:
    wires = always(OTHER_PUBLIC, PUBLIC)
    wires.silent = frozenset({OTHER_PUBLIC})
    answer = client_of(authority, wires).send(request_to(server.port, "https", NAME), deadline_seconds=AMPLE)
    assert (answer.status, wires.asked, wires.connections) == (200, [NAME], [OTHER_PUBLIC, PUBLIC])


def test_a_name_without_addresses_is_not_connected_to() -> None:
    with pytest.raises(NotDelivered, match="NewConnectionError"):
        ProviderClient(network=always().network).send(request_to(1, "https", NAME), deadline_seconds=AMPLE)


def test_an_address_that_does_not_answer_in_time_was_sent_nothing() -> None:
    def slowly(_to: Address, _timeout: float) -> socket.socket:
        raise TimeoutError

    client = ProviderClient(network=Network(always(PUBLIC).network.resolve, slowly))
    with pytest.raises(NotDelivered, match="ConnectTimeoutError"):
        client.send(request_to(1, "https", NAME), deadline_seconds=AMPLE)


def test_the_name_and_not_the_address_is_what_the_certificate_is_for(authority: trustme.CA) -> None:
    asked: list[str | None] = []
    context = certified(authority, NAME)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with serving(saying(OK), context) as running:
        client = client_of(authority, always(PUBLIC))
        assert client.send(request_to(running.port, "https", NAME), deadline_seconds=AMPLE).status == 200
        assert asked == [NAME]
        assert f"Host: {NAME}:{running.port}".encode() in running.received[0]
    with serving(saying(OK), certified(authority, PUBLIC)) as running, pytest.raises(NotDelivered):
        client_of(authority, always(PUBLIC)).send(request_to(running.port, "https", NAME), deadline_seconds=AMPLE)
    assert running.received == []


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_the_clouds_metadata_is_not_followed(authority: trustme.CA, status: int) -> None:
    with serving(saying(OK)) as metadata:
        location = f"http://127.0.0.1:{metadata.port}/latest/meta-data/iam/security-credentials/"
        moved = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        wires = always(PUBLIC)
        with serving(saying(moved), certified(authority, NAME)) as running:
            answer = client_of(authority, wires).send(request_to(running.port, "https", NAME), deadline_seconds=AMPLE)
    assert (answer.status, metadata.connections) == (status, 0)
    assert (wires.asked, wires.connections) == ([NAME], [PUBLIC])


def test_plain_http_goes_nowhere_but_to_listed_origins_on_this_machine() -> None:
    with serving(saying(OK)) as running:
        here = f"http://127.0.0.1:{running.port}"
        for origins in ((), ("http://127.0.0.1:1",), (f"https://127.0.0.1:{running.port}",)):
            with pytest.raises(NotDelivered, match="not_https"):
                ProviderClient(origins=origins).send(post_to(f"{here}/token"), deadline_seconds=AMPLE)
        assert running.connections == 0
        assert ProviderClient(origins=(here,)).send(post_to(f"{here}/token"), deadline_seconds=AMPLE).status == 200
    wires = always(PUBLIC)
    for origins in (("*",), ("http://provider.test",)):
        with pytest.raises(NotDelivered, match="not_https"):
            ProviderClient(origins=origins, network=wires.network).send(
                post_to("http://provider.test/token"), deadline_seconds=AMPLE
            )
    assert wires.asked == []


def test_a_listed_origin_is_on_this_machine_whatever_its_name_resolves_to() -> None:
    wires = always(PUBLIC)
    with pytest.raises(NotDelivered, match="address_not_public"):
        ProviderClient(origins=("*",), network=wires.network).send(
            post_to("http://localhost:4000/token"), deadline_seconds=AMPLE
        )
    assert wires.connections == []


def test_an_address_that_cannot_be_read_is_not_asked() -> None:
    assert not is_public("provider.test")
    wires = Wires(lambda _host, port: [Address(socket.AF_INET, ("somewhere", port))])
    for url, origins in (("https://provider.test/token", ()), ("http://localhost/token", ("*",))):
        with pytest.raises(NotDelivered, match="address_not_public"):
            ProviderClient(origins=origins, network=wires.network).send(post_to(url), deadline_seconds=AMPLE)


def test_without_the_check_the_machine_itself_would_answer(
    authority: trustme.CA, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above would see it: with the guard away, the very same request arrives."""
    wires = always("127.0.0.1")
    request = request_to(server.port, "https", NAME)
    with pytest.raises(NotDelivered, match="address_not_public"):
        client_of(authority, wires).send(request, deadline_seconds=AMPLE)
    assert server.connections == 0
    monkeypatch.setattr(http, "is_public", lambda _ip: True)
    assert client_of(authority, wires).send(request, deadline_seconds=AMPLE).status == 200
    assert wires.connections == ["127.0.0.1"]


def test_without_the_check_of_a_label_the_secret_would_go_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consentry.oauth.variables.LABEL", re.compile(r".*", re.DOTALL))
    elsewhere = [text for text in INPUTS if _is_accepted(text) and not _stays(text)]
    assert len(elsewhere) > 50


def _stays(text: str) -> bool:
    return hosts(rendered(ZENDESK, {"subdomain": text})) == {text + SUFFIX} and "." not in text
