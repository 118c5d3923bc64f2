"""The receiver's side of webhooks."""

from __future__ import annotations

from collections.abc import Mapping

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The specification's own example."""


def verified_id(received: Mapping[str, str], body: bytes, secret: str = SECRET) -> str:
    """Verify a webhook with the Standard Webhooks library, and return its id.

    Raises:
        WebhookVerificationError: if the signature, or the time, is wrong.
    """
    Webhook(secret).verify(body, dict(received), json_parse=False)
    return next(value for name, value in received.items() if name.lower() == "webhook-id")
