"""An account as its owner sees it: what tests prepare and look at without Firebreak."""

from functools import lru_cache
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

from segmentation.workloads import AwsRef, Workload, WorkloadKind

REGION = "eu-west-1"
# Reading the description of EC2's API takes longer than most tests: once for all of them is enough.
_LOADER = create_loader()


def session_of(who: str) -> boto3.Session:
    """A boto3 Session of its own with credentials that the server takes."""
    inner = botocore.session.Session()
    inner.register_component("data_loader", _LOADER)
    return boto3.Session(
        aws_access_key_id=who, aws_secret_access_key="none", region_name=REGION, botocore_session=inner
    )


class Accounts:
    """One account; `client` gives its owner's clients."""

    def __init__(self, url: str, account: str) -> None:
        self.url = url
        self.account = account
        self._session = session_of("owner")
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = REGION) -> Any:
        """A client of the account's owner."""
        key = (service, region)
        if key not in self._clients:
            config = Config(retries={"total_max_attempts": 1})
            self._clients[key] = self._session.client(
                service, region_name=region, endpoint_url=self.url, config=config, **self._credentials()
            )
        return self._clients[key]

    def target(self, kind: WorkloadKind, name: str, region: str = REGION) -> Workload:
        """The workload of something in this account."""
        return Workload(
            workload_id=name.replace("/", "-"),
            kind=kind,
            name=name.replace("/", "-"),
            aws=AwsRef(account=self.account, region=region, name=name),
        )

    @lru_cache(maxsize=1)  # noqa: B019 - lives as long as its test
    def _credentials(self) -> dict[str, str]:
        sts = self._session.client("sts", endpoint_url=self.url)
        answer = sts.assume_role(RoleArn=f"arn:aws:iam::{self.account}:role/owner", RoleSessionName="owner")
        return {
            "aws_access_key_id": answer["Credentials"]["AccessKeyId"],
            "aws_secret_access_key": answer["Credentials"]["SecretAccessKey"],
            "aws_session_token": answer["Credentials"]["SessionToken"],
        }
