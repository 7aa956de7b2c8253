"""A fake AWS on a loopback port, in a process of its own, and clients for its accounts."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config

SEED = 20261120
START_TIMEOUT_SECONDS = 60


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class FakeAws:
    """Context manager: starts the server, seeds its identifiers, stops it at the end."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "FakeAws":
        port = self.url.rsplit(":", 1)[1]
        # The hash seed fixes the order of the sets that the server iterates over.
        environment = {**os.environ, "PYTHONHASHSEED": "0", "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/data.json").read()
                break
            except (urllib.error.URLError, ConnectionError):
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the fake AWS did not start") from None
                time.sleep(0.2)
        seed = urllib.request.Request(f"{self.url}/moto-api/seed?a={SEED}", method="POST")
        urllib.request.urlopen(seed).read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(timeout=30)

    def client(self, service: str, account: str, region: str) -> Any:
        """A boto3 client whose calls land in `account`.

        moto takes the account from a request header; that spares the dataset any access key.
        """
        wanted = (service, account, region)
        if wanted not in self._clients:
            client = boto3.client(
                service, region_name=region, endpoint_url=self.url,
                aws_access_key_id="fake", aws_secret_access_key="fake",
                config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
            )
            client.meta.events.register("before-call", _into(account))
            self._clients[wanted] = client
        return self._clients[wanted]


def _into(account: str) -> Any:
    def add_header(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-moto-account-id"] = account
    return add_header


class Place:
    """One account and region, with short names for the clients."""

    def __init__(self, aws: FakeAws, account: str, region: str) -> None:
        self.aws, self.account, self.region = aws, account, region

    def __getattr__(self, service: str) -> Any:
        names = {"lambda_": "lambda"}
        return self.aws.client(names.get(service, service), self.account, self.region)
