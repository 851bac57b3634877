"""The little of S3 that a provider needs: the bucket that tests find, made by a signed request (version 4)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time

from .component import ComponentError

KEY, SECRET, REGION, BUCKET = "test", "test-secret", "us-east-1", "test"


def url(port: int) -> str:
    return f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/{BUCKET}?insecure=true"


def make_bucket(port: int) -> None:
    """Makes the bucket; one that is there already is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("PUT", f"/{BUCKET}", headers=_signed("PUT", f"/{BUCKET}", f"127.0.0.1:{port}"))
    response = connection.getresponse()
    body = response.read().decode(errors="replace")
    connection.close()
    if response.status not in (200, 409):
        raise ComponentError(f"s3: making the bucket {BUCKET} was answered {response.status}: {body}")


def _signed(method: str, path: str, host: str) -> dict[str, str]:
    """Headers for a request without a body: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": host, "x-amz-content-sha256": hashlib.sha256(b"").hexdigest(), "x-amz-date": now}
    names = ";".join(headers)
    listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"{method}\n{path}\n\n{listed}\n{names}\n{headers['x-amz-content-sha256']}"
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": credential}
