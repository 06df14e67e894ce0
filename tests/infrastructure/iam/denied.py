"""What must be denied, by who would ask for it: what docs/security.md and docs/policies.md promise, one call each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dev.recording import Call
from tests.infrastructure.iam.asked import (
    CLIENT_SECRET,
    FOREIGN_SECRET,
    LISTED,
    MAC_SECRET,
    call,
    function,
    key,
    listing,
    log,
    opened,
    put_events,
    queue,
    read,
    route,
    secret,
    stream,
    table,
)
from tests.infrastructure.iam.judge import Judge, Principal

FUNCTIONS: Final = (
    "AuthorizeFunction", "CallbackFunction", "ConnectFunction", "CredentialsFunction", "ManageFunction",
    "RefreshDispatchFunction", "RefreshFunction", "EscrowFunction", "EventsFunction", "MaintainFunction",
    "TransferFunction", "RekeyFunction", "NotifyFunction", "TicketsFunction", "SurveysFunction", "SalesFunction",
)  # fmt: skip
INDEXES: Final = {"due": "0", "attention": "reauth_required", "account": "client#account"}
TABLES: Final = {"ConnectionsTable": "acme", "IntegrationsTable": "hubspot", "PendingTable": "session#1"}
QUEUES: Final = (
    "RefreshQueue", "RefreshDeadLetterQueue", "EscrowQueue", "EscrowDeadLetterQueue", "EventsDeadLetterQueue",
)  # fmt: skip
TAGS: Final = {"consentry_tenant": "acme"}
ONE: Final = {**TAGS, "consentry_integration": "hubspot"}


@dataclass(frozen=True, slots=True)
class Who:
    """A function of the template by its logical id, or the holder of one of its managed policies with tags."""

    name: str
    tags: dict[str, str] = field(default_factory=dict, hash=False)

    def principal(self, judge: Judge) -> Principal:
        if self.name.endswith("Function"):
            return judge.function(self.name)
        return judge.policy(self.name, **self.tags)

    def __str__(self) -> str:
        return "-".join((self.name, *self.tags.values()))


@dataclass(frozen=True, slots=True)
class Denied:
    who: Who
    what: str
    call: Call

    def __str__(self) -> str:
        return f"{self.who}: {self.what}"


EXAMPLES: Final = tuple(map(Who, ("TicketsFunction", "SurveysFunction", "SalesFunction")))  # read, and refresh too
READERS: Final = (
    *EXAMPLES,
    Who("ReadPolicy"),
    Who("ReadTenantPolicy", TAGS),
    Who("ReadTenantPolicy", ONE),
)
LISTERS: Final = (Who("ListPolicy"), Who("ListTenantPolicy", TAGS))
CALLERS: Final = (
    Who("ConnectPolicy"), Who("ConnectTenantPolicy", TAGS), Who("RefreshPolicy"), Who("RefreshTenantPolicy", TAGS),
)  # fmt: skip
CONSUMERS: Final = (*READERS, *LISTERS, *CALLERS)
OF_ONE_TENANT: Final = tuple(who for who in CONSUMERS if who.tags)
UNTAGGED: Final = tuple(
    Who(name, tags)
    for name in ("ReadTenantPolicy", "ListTenantPolicy", "ConnectTenantPolicy", "RefreshTenantPolicy")
    for tags in ({}, {"consentry_tenant": ""}, {"consentry_integration": "hubspot"}, {"consentry_tenant": "*"})
)

type Calls = dict[str, Call]


def _opening(name: str, *fields: str) -> Calls:
    """With the present key of a kind, and with the second one that there is while keys are replaced."""
    return {
        f"opens {field or 'anything'} with {each}": key("Decrypt", each, field)
        for each in (name, f"Other{name}")
        for field in fields
    }


def _sealing(name: str, *fields: str) -> Calls:
    return {f"seals {field} with {name}": key("GenerateDataKey", name, field) for field in fields}


def _any_key() -> Calls:
    fields = ("access_token", "grant", "flow")
    return {
        **_opening("AccessKey", *fields, ""), **_opening("GrantKey", *fields, ""),
        **_sealing("AccessKey", *fields), **_sealing("GrantKey", *fields),
    }  # fmt: skip


# Nobody in this deployment may do these.
NOBODY: Final[Calls] = {
    **{f"deletes from {name}": table("dynamodb:DeleteItem", name, leading) for name, leading in TABLES.items()},
    **{f"replaces in {name}": table("dynamodb:PutItem", name, leading, ["v"]) for name, leading in TABLES.items()},
    **{f"changes {name} by statement": table("dynamodb:PartiQLUpdate", name, lead) for name, lead in TABLES.items()},
    **{f"reads {name} in batches": table("dynamodb:BatchGetItem", name, lead) for name, lead in TABLES.items()},
    **{f"takes {name} away": table("dynamodb:DeleteTable", name) for name in TABLES},
    **{
        f"asks the index {name}": table("dynamodb:Query", "ConnectionsTable", leading, index=name)
        for name, leading in INDEXES.items()
    },
    **{f"uses {name} without a context": key("GenerateDataKey", name, "") for name in ("AccessKey", "GrantKey")},
    **_opening("AccessKey", "grant", "flow", "other", ""),
    **_opening("GrantKey", "access_token", "other", ""),
    **_sealing("OtherAccessKey", "access_token", "grant", "flow", ""),
    **_sealing("OtherGrantKey", "access_token", "grant", "flow", ""),
    **{f"encrypts with {name}": key("Encrypt", name, "grant") for name in ("AccessKey", "GrantKey")},
    **{f"grants {name} to others": key("CreateGrant", name, "grant") for name in ("AccessKey", "GrantKey")},
    **{f"schedules {name} for deletion": key("ScheduleKeyDeletion", name, "") for name in ("AccessKey", "GrantKey")},
    **{f"purges {name}": queue("PurgeQueue", name) for name in QUEUES},
    **{f"takes from {name}": queue("ReceiveMessage", name) for name in QUEUES if "DeadLetter" in name},
    "reads the secret of another stack": FOREIGN_SECRET,
    "reads the secret of another stack whose name begins alike": secret("consentry/consentry-local-2/integrations/x"),
    "changes a secret": call("secretsmanager:PutSecretValue", CLIENT_SECRET.resource),
    "changes the MAC key": call("secretsmanager:PutSecretValue", MAC_SECRET.resource),
    "changes a function": call("lambda:UpdateFunctionCode", function("RefreshFunction").resource),
    "changes the function of the schedule": call(
        "lambda:UpdateFunctionCode", function("RefreshDispatchFunction").resource
    ),
    "writes into the log of the API": log("PutLogEvents", "HttpApiLogGroup"),
    "starts maintenance": function("MaintainFunction"),
    "exports connections": function("TransferFunction"),
    "replaces keys": function("RekeyFunction"),
    "reads a token by the API": route("GET/tenants/acme/connections/hubspot/default/token"),
    "removes a connection by the API": route("DELETE/tenants/acme/connections/hubspot/default"),
    "removes a tenant by the API": route("DELETE/tenants/acme"),
    **{f"reads what changed in {name}": stream("GetRecords", name) for name in TABLES},
    "tells of events": put_events("consentry.consentry-local"),
    "tells of events in another's name": put_events("consentry.another-stack"),
    "tells of events on another bus": put_events("consentry.consentry-local", "another"),
    "calls the example of a rule's target": function("NotifyFunction"),
    "calls what tells of events": function("EventsFunction"),
}  # fmt: skip
CONSUMER: Final[Calls] = {
    **_opening("GrantKey", "grant", "flow"),
    **_sealing("GrantKey", "grant", "flow"),
    **_sealing("AccessKey", "access_token"),
    "reads a whole connection": table("dynamodb:GetItem", "ConnectionsTable", "acme"),
    "reads a grant": read("acme", ["grant"]),
    "reads a grant beside what it may": read("acme", ["access_token", "grant"]),
    "lists with tokens": listing("acme", [*LISTED, "access_token"]),
    "lists with grants": listing("acme", [*LISTED, "grant"]),
    "lists whole connections": table("dynamodb:Query", "ConnectionsTable", "acme"),
    "lists all attributes": listing("acme", select="ALL_ATTRIBUTES"),
    "goes through all connections": table("dynamodb:Scan", "ConnectionsTable", attributes=["tenant"]),
    "reads a registration": table("dynamodb:GetItem", "IntegrationsTable", "hubspot"),
    "reads a session": table("dynamodb:GetItem", "PendingTable", "session#1"),
    "changes a connection": table("dynamodb:UpdateItem", "ConnectionsTable", "acme", ["status"]),
    "reads a client secret": CLIENT_SECRET,
    "reads the MAC key": MAC_SECRET,
    **{f"sends to {name}": queue("SendMessage", name) for name in QUEUES},
}
OTHER_TENANT: Final[Calls] = {
    "reads another tenant": read("globex"),
    "reads a tenant whose name begins alike": read("acme-2"),
    "opens another tenant's token": opened("globex"),
    "opens another tenant's token with the second key": opened("globex", name="OtherAccessKey"),
    "lists another tenant": listing("globex"),
    "lists another tenant by the API": route("GET/tenants/globex/connections"),
    "lists all tenants that are to connect again": route("GET/connections"),
    "connects for another tenant": route("POST/tenants/globex/sessions"),
    "completes another tenant's session": route("POST/tenants/globex/sessions/1/complete"),
    "hands in another tenant's credentials": route("PUT/tenants/globex/connections/hubspot/default/credentials"),
    "refreshes another tenant": route("POST/tenants/globex/connections/hubspot/default/refresh"),
    "invokes the refresh function, for whatever tenant": function("RefreshFunction"),
}
OWN_TENANT: Final[Calls] = {
    "reads": read("acme"),
    "reads a tenant without a name": read(""),
    "opens a token": opened("acme"),
    "opens a token with the second key": opened("acme", name="OtherAccessKey"),
    "lists": listing("acme"),
    "lists by the API": route("GET/tenants/acme/connections"),
    "connects": route("POST/tenants/acme/sessions"),
    "completes": route("POST/tenants/acme/sessions/1/complete"),
    "hands in credentials": route("PUT/tenants/acme/connections/hubspot/default/credentials"),
    "refreshes": route("POST/tenants/acme/connections/hubspot/default/refresh"),
}
WITHOUT_A_TENANT: Final = tuple(who for who in UNTAGGED if not who.tags.get("consentry_tenant"))
# What one kind of consumer may do, the others may not.
ONLY_READERS: Final[Calls] = {
    "reads": read("acme"),
    "opens a token": opened("acme"),
    "opens a token with the second key": opened("acme", name="OtherAccessKey"),
}
ONLY_LISTERS: Final[Calls] = {
    "lists": listing("acme"),
    "lists by the API": route("GET/tenants/acme/connections"),
    "lists those that are to connect again": route("GET/connections"),
}
ONLY_CONNECT: Final[Calls] = {
    "connects": route("POST/tenants/acme/sessions"),
    "completes": route("POST/tenants/acme/sessions/1/complete"),
    "hands in credentials": route("PUT/tenants/acme/connections/hubspot/default/credentials"),
}
ONLY_REFRESH: Final[Calls] = {
    "refreshes": route("POST/tenants/acme/connections/hubspot/default/refresh"),
    "invokes the refresh function": function("RefreshFunction"),
}
_CLIENT_SECRETS: Final[Calls] = {"reads a client secret": CLIENT_SECRET}
_REGISTRATION: Final[Calls] = {
    "changes a registration": table("dynamodb:UpdateItem", "IntegrationsTable", "hubspot", ["client_id"]),
    "changes a registration that begins like a health record": table(
        "dynamodb:UpdateItem", "IntegrationsTable", "#healthy", ["client_id"]
    ),
}
_SESSIONS: Final[Calls] = {
    "reads a session": table("dynamodb:GetItem", "PendingTable", "session#1"),
    "changes a session": table("dynamodb:UpdateItem", "PendingTable", "session#1", ["status"]),
}
_CONNECTIONS: Final[Calls] = {
    "reads a connection": table("dynamodb:GetItem", "ConnectionsTable", "acme"),
    "lists connections": table("dynamodb:Query", "ConnectionsTable", "acme"),
    "goes through all connections": table("dynamodb:Scan", "ConnectionsTable"),
}
_TOKENS: Final[Calls] = {
    "writes an access token": table("dynamodb:UpdateItem", "ConnectionsTable", "acme", ["gen", "access_token"]),
    "writes a grant": table("dynamodb:UpdateItem", "ConnectionsTable", "acme", ["gen", "grant"]),
    "writes a token and names no other attribute": table("dynamodb:UpdateItem", "ConnectionsTable", "acme", ["grant"]),
    "sees the whole record after a write": table(
        "dynamodb:UpdateItem", "ConnectionsTable", "acme", ["gen"], ReturnValues="ALL_NEW"
    ),
    "sees the whole record before a write": table(
        "dynamodb:UpdateItem", "ConnectionsTable", "acme", ["gen"], ReturnValues="ALL_OLD"
    ),
    "writes without saying what": replace(
        table("dynamodb:UpdateItem", "ConnectionsTable"), context={"dynamodb:LeadingKeys": ["acme"]}
    ),
}  # fmt: skip
_FLOWS: Final[Calls] = {
    "reads a flow": table("dynamodb:GetItem", "PendingTable", "flow#1#hubspot"),
    "changes a flow": table("dynamodb:UpdateItem", "PendingTable", "flow#1#hubspot", ["tries"]),
    "changes a session that begins alike": table("dynamodb:UpdateItem", "PendingTable", "sessions", ["tries"]),
    "gives a session another tenant": table("dynamodb:UpdateItem", "PendingTable", "session#1", ["session"]),
    "changes a session without saying what": replace(
        table("dynamodb:UpdateItem", "PendingTable"), context={"dynamodb:LeadingKeys": ["session#1"]}
    ),
    "changes nobody knows which session": replace(
        table("dynamodb:UpdateItem", "PendingTable"), context={"dynamodb:Attributes": ["tries"]}
    ),
    "reads nobody knows which session": table("dynamodb:GetItem", "PendingTable"),
    "goes through all sessions": table("dynamodb:Scan", "PendingTable"),
}
_ESCROW: Final[Calls] = {
    "takes from escrow": queue("ReceiveMessage", "EscrowQueue"),
    "deletes from escrow": queue("DeleteMessage", "EscrowQueue"),
    "puts into escrow": queue("SendMessage", "EscrowQueue"),
}
_HINTS: Final[Calls] = {
    "sends hints": queue("SendMessage", "RefreshQueue"),
    "takes hints": queue("ReceiveMessage", "RefreshQueue"),
}
BY_FUNCTION: Final[dict[str, Calls]] = {
    "AuthorizeFunction": {
        **_any_key(), **_CONNECTIONS, **_TOKENS, **_REGISTRATION, **_CLIENT_SECRETS, **_ESCROW, **_HINTS,
        "begins a session": table("dynamodb:PutItem", "PendingTable", "session#1"),
        "asks for a refresh": function("RefreshFunction"),
    },
    "CallbackFunction": {
        **_opening("AccessKey", "access_token"), **_opening("GrantKey", "grant"), **_REGISTRATION, **_ESCROW, **_HINTS,
        "lists connections": table("dynamodb:Query", "ConnectionsTable", "acme"),
        "goes through all connections": table("dynamodb:Scan", "ConnectionsTable"),
        "reads a registration": table("dynamodb:GetItem", "IntegrationsTable", "hubspot"),
        "asks for a refresh": function("RefreshFunction"),
        "seals a token with the key of grants": key("GenerateDataKey", "GrantKey", "access_token"),
        "seals a grant with the key of tokens": key("GenerateDataKey", "AccessKey", "grant"),
    },
    "ConnectFunction": {
        **_any_key(), **_CONNECTIONS, **_TOKENS, **_REGISTRATION, **_CLIENT_SECRETS, **_ESCROW, **_HINTS, **_FLOWS,
        "changes a session": table("dynamodb:UpdateItem", "PendingTable", "session#1", ["tries"]),
        "begins a session": table("dynamodb:PutItem", "PendingTable", "session#1"),
        "lists with tokens": listing("acme", [*LISTED, "access_token"]),
        "lists with grants": listing("acme", ["tenant", "grant"]),
        "lists all attributes": listing("acme", ["tenant"], select="ALL_ATTRIBUTES"),
        "lists without saying what": replace(
            table("dynamodb:Query", "ConnectionsTable", Select="SPECIFIC_ATTRIBUTES"),
            context={"dynamodb:LeadingKeys": ["acme"], "dynamodb:Select": ["SPECIFIC_ATTRIBUTES"]},
        ),
        "asks for a refresh": function("RefreshFunction"),
    },
    "CredentialsFunction": {
        **_opening("AccessKey", "access_token"), **_opening("GrantKey", "grant", "flow"),
        **_sealing("GrantKey", "flow", "access_token"), **_sealing("AccessKey", "grant"),
        **_REGISTRATION, **_CLIENT_SECRETS, **_ESCROW, **_HINTS, **_FLOWS,
        "lists connections": table("dynamodb:Query", "ConnectionsTable", "acme"),
        "goes through all connections": table("dynamodb:Scan", "ConnectionsTable"),
        "asks for a refresh": function("RefreshFunction"),
    },
    "ManageFunction": {
        **_opening("GrantKey", "grant"), **_sealing("AccessKey", "grant"),
        **_sealing("GrantKey", "flow", "access_token"),
        **_REGISTRATION, **_ESCROW, **_HINTS,
        "goes through all connections": table("dynamodb:Scan", "ConnectionsTable"),
        "goes through all sessions": table("dynamodb:Scan", "PendingTable"),
    },
    "RefreshDispatchFunction": {
        **_any_key(), **_CONNECTIONS, **_TOKENS, **_REGISTRATION, **_CLIENT_SECRETS, **_ESCROW, **_SESSIONS,
        "reads the MAC key": MAC_SECRET,
        "takes hints": queue("ReceiveMessage", "RefreshQueue"),
        "reads tokens by the index": table("dynamodb:Query", "ConnectionsTable", "acme", index="account"),
        "asks for a refresh": function("RefreshFunction"),
    },
    "RefreshFunction": {
        **_opening("AccessKey", "access_token"), **_opening("GrantKey", "flow"),
        **_sealing("GrantKey", "flow", "access_token"), **_sealing("AccessKey", "grant"), **_REGISTRATION, **_SESSIONS,
        "reads a registration": table("dynamodb:GetItem", "IntegrationsTable", "hubspot"),
        "lists connections": table("dynamodb:Query", "ConnectionsTable", "acme"),
        "goes through all connections": table("dynamodb:Scan", "ConnectionsTable"),
        "reads the MAC key": MAC_SECRET,
        "takes from escrow": queue("ReceiveMessage", "EscrowQueue"),
        "sends hints": queue("SendMessage", "RefreshQueue"),
    },
    "EscrowFunction": {
        **_any_key(), **_CONNECTIONS, **_REGISTRATION, **_SESSIONS, **_CLIENT_SECRETS, **_HINTS,
        "reads the MAC key": MAC_SECRET,
        "puts into escrow": queue("SendMessage", "EscrowQueue"),
    },
    "EventsFunction": {
        **_any_key(), **_CONNECTIONS, **_TOKENS, **_REGISTRATION, **_SESSIONS, **_CLIENT_SECRETS, **_ESCROW, **_HINTS,
        "reads the MAC key": MAC_SECRET,
        "reads a registration": table("dynamodb:GetItem", "IntegrationsTable", "hubspot"),
        "tells nobody knows what": replace(put_events(""), context={}),
        "asks for a refresh": function("RefreshFunction"),
    },
    "NotifyFunction": {
        **_any_key(), **_CONNECTIONS, **_TOKENS, **_REGISTRATION, **_SESSIONS, **_CLIENT_SECRETS, **_ESCROW, **_HINTS,
        "reads the MAC key": MAC_SECRET,
        "asks for a refresh": function("RefreshFunction"),
    },
    "MaintainFunction": {
        **_any_key(), **_CONNECTIONS, **_TOKENS, **_REGISTRATION, **_SESSIONS, **_CLIENT_SECRETS, **_ESCROW, **_HINTS,
        "reads the MAC key": MAC_SECRET,
        "reads a registration": table("dynamodb:GetItem", "IntegrationsTable", "hubspot"),
        "goes through all connections with their tokens": table(
            "dynamodb:Scan", "ConnectionsTable", attributes=["tenant", "access_token"], Select="SPECIFIC_ATTRIBUTES"
        ),
        "goes through all attributes": table(
            "dynamodb:Scan", "ConnectionsTable", attributes=["tenant"], Select="ALL_ATTRIBUTES"
        ),
        "goes through what it does not name": table("dynamodb:Scan", "ConnectionsTable", Select="SPECIFIC_ATTRIBUTES"),
    },
    "TransferFunction": {
        **_opening("AccessKey", "access_token"), **_opening("GrantKey", "flow"),
        **_sealing("GrantKey", "flow", "access_token"), **_sealing("AccessKey", "grant"),
        **_SESSIONS, **_CLIENT_SECRETS, **_ESCROW, **_HINTS,
        "reads the MAC key": MAC_SECRET,
        "changes a registration": table("dynamodb:UpdateItem", "IntegrationsTable", "hubspot", ["provider"]),
        "goes through all connections with their tokens": table(
            "dynamodb:Scan", "ConnectionsTable", attributes=["tenant", "access_token"], Select="SPECIFIC_ATTRIBUTES"
        ),
        "goes through all attributes": table(
            "dynamodb:Scan", "ConnectionsTable", attributes=["tenant"], Select="ALL_ATTRIBUTES"
        ),
        "asks for a refresh": function("RefreshFunction"),
    },
    "RekeyFunction": {
        **_opening("GrantKey", "flow"),
        **_sealing("GrantKey", "flow", "access_token"), **_sealing("AccessKey", "grant"),
        **_REGISTRATION, **_SESSIONS, **_CLIENT_SECRETS, **_ESCROW, **_HINTS, **_FLOWS,
        "reads the MAC key": MAC_SECRET,
        "reads a whole connection": table("dynamodb:GetItem", "ConnectionsTable", "acme"),
        "reads who connected": read("acme", ["access_token", "account"]),
        "goes through whole connections": table("dynamodb:Scan", "ConnectionsTable"),
        "goes through who connected": table(
            "dynamodb:Scan", "ConnectionsTable", attributes=["tenant", "account"], Select="SPECIFIC_ATTRIBUTES"
        ),
        "goes through all attributes": table(
            "dynamodb:Scan", "ConnectionsTable", attributes=["tenant"], Select="ALL_ATTRIBUTES"
        ),
        "goes through who began sessions": table(
            "dynamodb:Scan", "PendingTable", attributes=["id", "session"], Select="SPECIFIC_ATTRIBUTES"
        ),
        "goes through all attributes of sessions": table(
            "dynamodb:Scan", "PendingTable", attributes=["id"], Select="ALL_ATTRIBUTES"
        ),
        "changes a generation": table("dynamodb:UpdateItem", "ConnectionsTable", "acme", ["grant", "gen"]),
        "takes a lease": table("dynamodb:UpdateItem", "ConnectionsTable", "acme", ["v", "lease_owner"]),
        "sees the whole record after a write": table(
            "dynamodb:UpdateItem", "ConnectionsTable", "acme", ["grant"], ReturnValues="ALL_NEW"
        ),
        "writes without saying what": replace(
            table("dynamodb:UpdateItem", "ConnectionsTable"), context={"dynamodb:LeadingKeys": ["acme"]}
        ),
        "asks for a refresh": function("RefreshFunction"),
    },
    "TicketsFunction": {},
    "SurveysFunction": {},
    "SalesFunction": {},
}  # fmt: skip
# The one thing in a set of calls that a function is there for.
DUE: Final = frozenset({
    ("RefreshDispatchFunction", "asks the index due"),
    ("RefreshFunction", "asks the index account"),
    ("RefreshFunction", "deletes from ConnectionsTable"),
    ("ManageFunction", "replaces in PendingTable"),
    ("ManageFunction", "asks the index attention"),
    ("AuthorizeFunction", "seals flow with GrantKey"),
    ("EventsFunction", "tells of events"),
    ("EventsFunction", "reads what changed in ConnectionsTable"),
    ("EventsFunction", "reads what changed in IntegrationsTable"),
})  # fmt: skip


def _table() -> Iterator[Denied]:
    everybody = (*map(Who, FUNCTIONS), *CONSUMERS)
    for whom, calls in (
        (everybody, NOBODY),
        (CONSUMERS, CONSUMER),
        (OF_ONE_TENANT, OTHER_TENANT),
        (UNTAGGED, OWN_TENANT),
        (WITHOUT_A_TENANT, {"sees the integrations": route("GET/integrations")}),
        ((Who("ReadTenantPolicy", ONE),), {"opens another integration": opened("acme", "hotjar#default")}),
        (
            (Who("ReadTenantPolicy", ONE),),
            {"opens another integration with the second key": opened("acme", "hotjar#default", "OtherAccessKey")},
        ),
        ((Who("ReadTenantPolicy", ONE),), {"opens one that begins alike": opened("acme", "hubspot-ticketing#default")}),
        ((*LISTERS, *CALLERS), ONLY_READERS),
        ((*READERS, *CALLERS), ONLY_LISTERS),
        ((*READERS, *LISTERS, *CALLERS[2:]), ONLY_CONNECT),
        ((*READERS[len(EXAMPLES) :], *LISTERS, *CALLERS[:2]), ONLY_REFRESH),
    ):
        for who in whom:
            yield from (Denied(who, what, asked) for what, asked in calls.items() if (who.name, what) not in DUE)
    for name, calls in BY_FUNCTION.items():
        yield from (Denied(Who(name), what, asked) for what, asked in calls.items() if (name, what) not in DUE)
    for name in FUNCTIONS:
        group = name.replace("Function", "LogGroup")
        yield Denied(Who(name), "deletes its own log", log("DeleteLogGroup", group))


DENIED: Final[Sequence[Denied]] = tuple(_table())
