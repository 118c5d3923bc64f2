"""The bodies of answers, as the OpenAPI document describes them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FieldProblem(BaseModel):
    """A field of a request, and what is wrong with it."""

    field: str = Field(description="Path of the field.", examples=["metadata.title"])
    reason: str


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(
        description="Tells problems apart; stable. See docs/api.md.", examples=["/problems/not-audio"]
    )
    title: str
    status: int
    detail: str = Field(description="What to do about it, for people.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="What the operator finds in the logs.")
    errors: list[FieldProblem] | None = Field(None, description="All fields that are wrong.")
