"""`python -m dev.demo`: the story of a connection, told with the local stack's real answers. 0 if all of it is true."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import requests

from dev.acme.browser import Browser, NoAnswer, NoSuchButton, Page
from dev.acme.cards import DEMO_VALUES
from dev.acme.consentry_api import Consentry, Json
from dev.acme.readings import Readings
from dev.acme.trouble import Trouble
from dev.ready import Ready
from dev.running import NotReady, started

OPTIONS: Final = {"PORT": "0", "ACCESS_TTL": "50", "TICK": "2", "HTTPS": "1", "ROTATION": "rotates", "GRACE": "0"}
ROTATION_SECONDS: Final = 100
LOOK_SECONDS: Final = 1.0
LEAST_SECONDS: Final = 3.0
INTERRUPTED: Final = 130  # what a shell expects after Ctrl-C
HOSTED_LINK: Final = "Enter credentials for Hotjar (local)"
TICKETING: Final = "hubspot-ticketing"
TICKETS_PATH: Final = "/api.hubapi.com/crm/v3/objects/tickets"


class NotSeen(Exception):
    """Something other than the story was seen; the message says what."""


def expect(what: str, seen: object, wanted: object = True) -> None:
    if seen != wanted:
        raise NotSeen(f"{what}: expected {wanted!r}, saw {seen!r}")


@dataclass(frozen=True, slots=True)
class Provider:
    """What the simulated providers know, and can be told to do."""

    url: str

    def stats(self) -> Json:
        stats: Json = requests.get(f"{self.url}/_control/stats", timeout=10).json()
        return stats

    def order(self, what: str, order: Mapping[str, object]) -> Json:
        answer = requests.post(f"{self.url}/_control/{what}", json=order, timeout=10)
        expect(f"the provider obeys {what!r}", answer.ok)
        done: Json = answer.json()
        return done


@dataclass(frozen=True, slots=True)
class Story:
    """One method for each step; it returns what was seen, as a sentence, and raises `NotSeen` for anything else."""

    acme: str
    consentry: Consentry
    readings: Readings
    provider: Provider
    ada: Browser
    grace: Browser
    clock: Callable[[], float] = field(default=time.time, kw_only=True)
    rest: Callable[[float], None] = field(default=time.sleep, kw_only=True)

    def connect(self) -> str:
        page = self._consent(self.ada, TICKETING, "Allow")
        expect(f"Acme says that it is connected ({page.notice!r})", "Connected" in page.notice)
        seen = self._connection("acme", TICKETING)
        expect("status and generation", (seen["status"], seen["generation"]), ("active", 1))
        via = " -> ".join(page.trail)
        return f"{page.notice} Scopes {' '.join(seen['scopes'])}; generation 1.\n     The way back: {via}"

    def read_tickets(self) -> str:
        table = self.readings.tickets("acme", TICKETING)
        expect(f"tickets come in more than one page ({table.pages})", table.pages > 1)
        return f"{len(table.rows)} tickets in {table.pages} pages, the first: {table.rows[0][1]!r}."

    def rotate(self) -> str:
        """Two refreshes, so that the second one used a token that the first one brought."""
        begun, wanted = time.monotonic(), 3
        while (generation := self._connection("acme", TICKETING)["generation"]) < wanted:
            if time.monotonic() - begun > ROTATION_SECONDS:
                raise NotSeen(f"generation {generation} after {ROTATION_SECONDS} s; expected {wanted}")
            time.sleep(LOOK_SECONDS)
        stats = self.provider.stats()
        expect("how often any refresh token was presented", stats["refresh_token_posts_max"], 1)
        expect("reused refresh tokens", stats["reused_refresh_tokens"], 0)
        refreshes = stats["by_grant_type"]["refresh_token"]
        seconds = round(time.monotonic() - begun)
        return f"Generation {generation} after {seconds} s; {refreshes} refreshes, no refresh token presented twice."

    def recover(self) -> str:
        self._await_distance()
        before = self._connection("acme", TICKETING)["generation"]
        expired = self.provider.order("expire_access_tokens", {"system": "hubspot"})["expired"]
        token = self.consentry.token("acme", TICKETING)
        headers = {"Authorization": f"Bearer {token.access_token.reveal()}"}
        refused = requests.get(self.provider.url + TICKETS_PATH, headers=headers, timeout=10)
        expect("the provider's answer to the old token", refused.status_code, HTTPStatus.UNAUTHORIZED)
        table = self.readings.tickets("acme", TICKETING)
        after = self._connection("acme", TICKETING)["generation"]
        expect("the function reads tickets again", bool(table.rows))
        expect(f"generation {after} is higher than {before}", after > before)
        return (
            f"{expired} access tokens ended early, the provider answers {refused.status_code}; "
            f"the function forced generation {before} -> {after} and read {len(table.rows)} tickets."
        )

    def deny(self) -> str:
        page = self._consent(self.grace, TICKETING, "Deny")
        expect(f"Acme explains the refusal ({page.notice!r})", "access_denied" in page.notice)
        expect("connections of globex", len(self.consentry.connections("globex")), 0)
        return f"Acme says: {page.notice!r}; globex has no connection."

    def refuse_wrong_credentials(self) -> str:
        typed = {"client_secret": "mistyped"}
        page = self.grace.press(self._home(self.grace), "Connect", action="/credentials/hotjar", typed=typed)
        expect(f"Acme explains the refusal ({page.notice!r})", "credential_rejected" in page.notice)
        expect("connections of globex", len(self.consentry.connections("globex")), 0)
        return f"Acme says: {page.notice!r}; globex has no connection."

    def mint(self) -> str:
        """Connect, read, let the access tokens end early, and read again with new ones."""
        seen = list[str]()
        for integration, what in (("hotjar", "surveys"), ("hotmart", "sales")):
            page = self.ada.press(self._home(self.ada), "Connect", action=f"/credentials/{integration}")
            expect(f"Acme says that it is connected ({page.notice!r})", "Connected" in page.notice)
            rows = self._rows(integration)
            self.provider.order("expire_access_tokens", {"system": integration})
            expect(f"{what} with a new token", self._rows(integration), rows)
            generation = self._connection("acme", integration)["generation"]
            expect(f"generation {generation} of {integration} is higher than 1", generation > 1)
            seen.append(f"{integration}: {rows} {what}, and again with generation {generation} after a 401")
        return f"{'; '.join(seen)}. No consent page, no refresh token."

    def enter_on_the_hosted_page(self) -> str:
        """Grace leaves it all to Consentry's own page, mistypes there as well, and corrects it."""
        page = self.grace.press(self._home(self.grace), "Open the hosted page")
        expect(f"the hosted page offers Hotjar ({page.text[:200]!r})", HOSTED_LINK in page.links)
        form = self.grace.follow(page, HOSTED_LINK)
        known = {f"input-{name}": value for name, value in DEMO_VALUES["hotjar"].items()}
        wrong = self.grace.press(form, "Check and connect", typed={**known, "input-client_secret": "mistyped"})
        expect(f"the form says why ({wrong.notice!r})", "does not accept these credentials" in wrong.notice)
        back = self.grace.press(wrong, "Check and connect", typed={**known, "label": "Grace's site"})
        expect(f"Acme says that it is connected ({back.notice!r})", "Connected" in back.notice)
        seen = self._connection("globex", "hotjar")
        expect("status and label", (seen["status"], seen["label"]), ("active", "Grace's site"))
        return f"The form said: {wrong.notice!r}, then Acme: {back.notice!r}"

    def revoke(self) -> str:
        self._await_distance()
        revoked = self.provider.order("revoke", {"system": "hubspot", "account": "acme"})["revoked"]
        expect("grants revoked at the provider", revoked, 1)
        page = self.ada.open(f"{self.acme}/read/{TICKETING}")
        expect(f"Acme says why there are no tickets ({page.notice!r})", "reauth_required" in page.notice)
        seen = self._connection("acme", TICKETING)
        expect("status and cause", (seen["status"], seen["cause"]), ("reauth_required", "grant_revoked"))
        return f"GET connections: status {seen['status']}, cause {seen['cause']}. Acme says: {page.notice!r}"

    def connect_again(self) -> str:
        before = self._connection("acme", TICKETING)["generation"]
        page = self._consent(self.ada, TICKETING, "Allow", button="Connect again")
        expect(f"Acme says that it is connected ({page.notice!r})", "Connected" in page.notice)
        seen = self._connection("acme", TICKETING)
        expect(
            "status and whether the generation rose", (seen["status"], seen["generation"] > before), ("active", True)
        )
        stats = self.provider.stats()
        expect("refresh tokens ever presented twice", stats["reused_refresh_tokens"], 0)
        expect("token requests at once for any grant", stats["max_in_flight_per_grant"], 1)
        rows = len(self.readings.tickets("acme", TICKETING).rows)
        return f"Generation {before} -> {seen['generation']}, {rows} tickets; no grant ever had two requests at once."

    def _consent(self, browser: Browser, integration: str, decision: str, *, button: str = "Connect") -> Page:
        asked = browser.press(self._home(browser), button, action=f"/connect/{integration}")
        expect(f"a consent page ({asked.status}: {asked.text[:200]})", "allow access?" in asked.title)
        return browser.press(asked, decision)

    def _rows(self, integration: str) -> int:
        page = self.ada.open(f"{self.acme}/read/{integration}")
        expect(f"Acme shows a table ({page.text[:200]!r})", (page.status, page.rows > 0), (HTTPStatus.OK, True))
        return page.rows

    def _await_distance(self) -> None:
        """Two refreshes keep a distance, and the schedule may have made one just now: a forced one would wait."""
        while (left := self._connection("acme", TICKETING)["refreshed_at"] + LEAST_SECONDS - self.clock()) > 0:
            self.rest(left)

    def _home(self, browser: Browser) -> Page:
        page = browser.open(f"{self.acme}/")
        expect(f"Acme's page ({page.text[:200]!r})", page.status, HTTPStatus.OK)
        return page

    def _connection(self, tenant: str, integration: str) -> Json:
        found = {each["integration"]: each for each in self.consentry.connections(tenant)}
        expect(f"{tenant} has a connection to {integration}", integration in found)
        return found[integration]


def story_of(ready: Ready) -> Story:
    """Two people with a browser each: Ada of acme, and Grace of globex."""
    if not ready.acme_url or not ready.authorization_server_url:
        raise NotSeen("the local stack came up without the example application or without the authorization server")
    consentry = Consentry(ready)
    ada, grace = Browser(ready.ca_bundle), Browser(ready.ca_bundle)
    grace.press(grace.open(ready.acme_url), "Grace globex")
    provider = Provider(ready.authorization_server_url)
    return Story(ready.acme_url, consentry, Readings(ready, consentry), provider, ada, grace)


def tell(story: Story) -> None:
    """Go through the steps; raise `NotSeen` naming the first that is not as told."""
    steps: Sequence[tuple[str, Callable[[], str]]] = (
        ("Ada of acme connects HubSpot Ticketing by consent, and Acme's backend confirms it", story.connect),
        ("A function of Acme reads tickets through the layer", story.read_tickets),
        ("Nobody does anything, and the tokens rotate on schedule", story.rotate),
        ("Access tokens end before their time; the next read forces one refresh", story.recover),
        ("Grace of globex denies the consent", story.deny),
        ("Grace mistypes a Hotjar secret", story.refuse_wrong_credentials),
        ("Ada enters her credentials for Hotjar and Hotmart", story.mint),
        ("Grace enters hers on Consentry's own page", story.enter_on_the_hosted_page),
        ("The grant is revoked at HubSpot", story.revoke),
        ("Ada connects again", story.connect_again),
    )
    for number, (title, step) in enumerate(steps, 1):
        print(f"\n{number:2}. {title}.", flush=True)
        try:
            print(f"     {step()}", flush=True)
        except (NotSeen, NoAnswer, NoSuchButton, requests.RequestException, LookupError) as error:
            raise NotSeen(f"step {number} ({title}): {error}") from error
        except Trouble as trouble:
            raise NotSeen(f"step {number} ({title}): {trouble.sentence} [{trouble.code}]") from trouble


def main() -> int:
    """Return 0 if every step was seen, 1 for a step that was not, 2 if the stack did not start, 130 after Ctrl-C."""
    begun = time.monotonic()
    print("Starting the local stack: the functions of template.yaml, and simulated providers.", flush=True)
    try:
        with started(OPTIONS) as ready:
            print(f"Ready after {time.monotonic() - begun:.0f} s.", flush=True)
            tell(story_of(ready))
    except NotSeen as error:
        print(f"\nNot as told: {error}", file=sys.stderr)
        return 1
    except NotReady as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    print(f"\nAll of it was seen, in {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
