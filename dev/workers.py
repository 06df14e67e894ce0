"""What a function's process is told and may import: what Lambda would give it, and nothing of the developer's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dev.account import Account, key_id_of
from dev.build import ImportPath
from dev.runtime import FunctionSpec

EXECUTION_ENVIRONMENT: Final = "AWS_Lambda_python3.13"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The account that functions call, and what they import from after their own folder.

    With `read_only`, what they import from stays as it is: it is what would be deployed.
    """

    account: Account
    import_path: ImportPath
    read_only: bool = False

    def environment_of(self, spec: FunctionSpec, runtime_api_port: int) -> Mapping[str, str]:
        """Return the whole environment of a worker of `spec`.

        Names: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        """
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **spec.environment,
            **self._account(spec),
            **_sandbox(spec),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime_api_port}",
            "PYTHONPATH": ":".join(str(folder) for folder in (spec.folder, *self.import_path.of(spec.layers))),
            **({"PYTHONDONTWRITEBYTECODE": "1"} if self.read_only else {}),
        }

    def _account(self, spec: FunctionSpec) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": key_id_of(spec.logical_id),
            "AWS_SECRET_ACCESS_KEY": self.account.secret_access_key,
            "AWS_REGION": self.account.region,
            "AWS_DEFAULT_REGION": self.account.region,
            "AWS_ENDPOINT_URL": self.account.endpoint,
            "AWS_CONFIG_FILE": "/dev/null",  # the developer's own profile stays out of it
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _sandbox(spec: FunctionSpec) -> dict[str, str]:
    return {
        "_HANDLER": spec.handler,
        "LAMBDA_TASK_ROOT": str(spec.folder),
        "AWS_EXECUTION_ENV": EXECUTION_ENVIRONMENT,
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": spec.log_format,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
    }
