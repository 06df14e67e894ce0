"""Ciphertexts as they are right after keys were exchanged: under the second ones, for whoever opens them next."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from consentry.aws.keys import KmsEnvelopes
from consentry.model import Field
from tests.support.person import Company

_OF_A_CONNECTION: Final = {"access_token": Field.ACCESS_TOKEN, "grant": Field.GRANT}
_OF_A_FLOW: Final = {"verifier": Field.FLOW, "code": Field.FLOW}


@dataclass
class SecondKeys:
    company: Company

    def connection(self, tenant: str, integration: str) -> None:
        key = {"tenant": tenant, "connection": f"{integration}#default"}
        self._seal("connections", key, key, _OF_A_CONNECTION)

    def flow(self, session: str, tenant: str, integration: str) -> None:
        context = {"tenant": tenant, "connection": f"{integration}#default"}
        self._seal("pending", {"id": f"flow#{session}#{integration}"}, context, _OF_A_FLOW)

    def _seal(self, table: str, key: Mapping[str, str], context: Mapping[str, str], names: Mapping[str, Field]) -> None:
        client, place = self.company.client("dynamodb"), {name: {"S": value} for name, value in key.items()}
        table = self.company.ready.tables[table]
        item = client.get_item(TableName=table, Key=place, ConsistentRead=True)["Item"]
        for name, what in names.items():
            if name in item:
                client.update_item(
                    TableName=table,
                    Key=place,
                    UpdateExpression="SET #name = :sealed",
                    ExpressionAttributeNames={"#name": name},
                    ExpressionAttributeValues={":sealed": {"B": self._sealed(item[name]["B"], context, what)}},
                )

    def _sealed(self, ciphertext: bytes, context: Mapping[str, str], what: Field) -> bytes:
        named = self.company.ready.keys
        first = {Field.ACCESS_TOKEN: named["access"], Field.GRANT: named["grant"], Field.FLOW: named["grant"]}
        second = {
            Field.ACCESS_TOKEN: named["other_access"],
            Field.GRANT: named["other_grant"],
            Field.FLOW: named["other_grant"],
        }
        envelopes = KmsEnvelopes(self.company.client("kms"), keys=second, others=first, randomness=os.urandom)
        whole = {**context, "field": what.value}
        return envelopes.sealing_key(whole).seal(envelopes.open(bytes(ciphertext), whole))
