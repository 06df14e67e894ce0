"""A second pair of KMS keys, so that replacing keys can be tried here: their ids are known before anything is made."""

from collections.abc import Mapping
from typing import Final

from dev.account import REGION
from dev.payloads import ACCOUNT

OTHER_KEY_IDS: Final[Mapping[str, str]] = {
    "OtherAccessKeyArn": "0b5fa8ce-0000-4000-8000-000000000001",
    "OtherGrantKeyArn": "0b5fa8ce-0000-4000-8000-000000000002",
}
OTHER_KEYS: Final[Mapping[str, str]] = {
    parameter: f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}" for parameter, key_id in OTHER_KEY_IDS.items()
}
