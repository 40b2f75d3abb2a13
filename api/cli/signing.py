"""Signing a message as Standard Webhooks 1.0 says; what `firebreak alerts send` and tests sign with."""

from datetime import datetime

from standardwebhooks import Webhook


def signed_headers(secret: str, webhook_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The three headers, and the content type; `at` is UTC."""
    return {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, body.decode()),
    }
