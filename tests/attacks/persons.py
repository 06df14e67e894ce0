"""A person's browser with a jar that follows the rules, in front of the handlers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from consentry.web.response import Response
from tests.attacks.handlers import World, opened
from tests.attacks.inputs import FORM
from tests.support.deployment import BASE_URL, provider_answer, query_of
from tests.support.html import Outline
from tests.support.jar import Jar, Kind

OWN_SITE = "vault.test"
PROVIDER_SITE = "crm.test"
FOREIGN_SITE = "evil.test"
FROM_OUR_PAGE = {"origin": "null"}  # our referrer policy makes browsers hide more


class Person:
    """Opens addresses as a browser does; `site` is who makes it do so."""

    def __init__(self, at: World) -> None:
        self.at = at
        self.jar = Jar()

    def goes(
        self,
        url: str,
        *,
        site: str = OWN_SITE,
        method: str = "GET",
        kind: Kind = Kind.TOP_LEVEL,
        **changes: Any,  # noqa: ANN401 - handed on to `event`
    ) -> Response:
        cookies = self.jar.sent(url, site=site, method=method, kind=kind)
        response = self.at.answer(opened(url, method=method, **{"cookies": cookies, **changes}))
        for each in response.get("cookies", ()):
            self.jar.keep(each, url)
        return response

    def departs(self, session: Mapping[str, Any], integration: str = "crm") -> str:
        """Follow the link; return where the browser is sent."""
        response = self.goes(session["authorize_urls"][integration])
        assert response["statusCode"] == 302, response["body"]
        return str(response["headers"]["Location"])

    def returns(self, location: str, **answer: str) -> Response:
        """Come back from the provider, which is another site."""
        return self.goes(provider_answer(location, **answer), site=PROVIDER_SITE)

    def form(self, session: Mapping[str, Any], integration: str = "metrics") -> tuple[str, str]:
        """Open the form; return its address and the value that makes it ours."""
        url = f"{BASE_URL}/connect/{integration}?session={ticket_of(session)}"
        return url, self.form_value(url)

    def form_value(self, url: str) -> str:
        return Outline(self.goes(url)["body"]).one("input", name="form")["value"]

    def sends(
        self,
        url: str,
        form: str,
        headers: Mapping[str, str] = FROM_OUR_PAGE,
        *,
        site: str = OWN_SITE,
        secret: str = "right",
    ) -> Response:
        """Send the form; `headers` are what the browser says of where it comes from, `site` is where it does."""
        fields = {"form": form, "input-client_id": "c", "input-client_secret": secret}
        given = {"content-type": FORM, **headers}
        return self.goes(url, site=site, method="POST", headers=given, body=urlencode(fields))


def ticket_of(session: Mapping[str, Any]) -> str:
    return str(session["connect_url"].partition("session=")[2])


def state_of(location: str) -> str:
    return query_of({"headers": {"Location": location}})["state"]
