"""What a caller asks for when submitting a song, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from spleeter_microservice.errors import ForbiddenAddressError, InvalidFieldsError, MalformedRequestError
from spleeter_microservice.jobs.job import Options
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.web.problem_handler import invalid_fields
from spleeter_microservice.web.services import ApiConfig
from spleeter_microservice.web.submit.codecs import BITRATE, Codec, normal_bitrate

Stem = Literal["vocals", "accompaniment", "drums", "bass", "piano", "other"]


def printable(text: str) -> str:
    """Give a text back if it has no control characters and is Unicode.

    Raises:
        ValueError: when it is not: logs, headers and PostgreSQL cannot hold such texts.
    """
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("Control characters are not taken")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Half characters (surrogates) are not taken")
    return text


_Key = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(printable)]
_Value = Annotated[str, Field(max_length=1000), AfterValidator(printable)]
_Url = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(printable)]


class SubmissionForm(BaseModel):
    """How a song is to be separated."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source_url: _Url | None = Field(
        default=None,
        description="Where to fetch the song, if it is not sent along. Public addresses only; "
        "off unless the operator has switched it on.",
        examples=["https://example.com/song.mp3"],
    )
    stems: Literal[2, 4, 5] = Field(
        default=2,
        description="2: vocals, accompaniment. 4: vocals, drums, bass, other. "
        "5: vocals, piano, drums, bass, other.",
    )
    codec: Codec = Field(default="wav", description="Of the stems.")
    bitrate: str | None = Field(
        default=None,
        pattern=BITRATE,
        description="Of a lossy codec, in bits per second or, with k, thousands of them. 128k by default.",
        examples=["192k"],
    )
    offset: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="Seconds of the song to skip.",
        examples=[30],
    )
    duration: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        allow_inf_nan=False,
        description="Seconds of the song to separate; all by default.",
        examples=[60],
    )
    bandwidth: Literal["official", "16kHz", "full"] = Field(
        default="official",
        description="official: up to 11 kHz, as Spleeter does. 16kHz: up to 16 kHz. full: everything; above "
        "11 kHz it is shared out as just below.",
    )
    mwf: bool = Field(
        default=False, description="Refine by a multichannel Wiener filter: less bleeding, twice the time."
    )
    only: list[Stem] = Field(
        default_factory=list,
        max_length=5,
        description="The stems that are wanted; all by default. In a form: separated by commas.",
        examples=[["vocals"]],
    )
    metadata: dict[_Key, _Value] = Field(
        default_factory=dict,
        max_length=50,
        description="Texts of your own by names of your own, given back. In a form: a JSON object.",
        examples=[{"title": "Song", "order": "4711"}],
    )
    callback_url: _Url | None = Field(
        default=None,
        description="Is sent a signed webhook when the job ends, however it ends.",
        examples=["https://example.com/hooks/separated"],
    )
    retention_hours: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        allow_inf_nan=False,
        description="Hours after the job's end in which the stems can be had; then everything is erased. "
        "The operator sets the default and the most.",
        examples=[24],
    )

    def check(self, config: ApiConfig, guard: UrlPolicy) -> None:
        """Check what depends on the operator's decisions, and the callback's address.

        Raises:
            InvalidFieldsError: naming the field.
        """
        hours = config.max_retention / timedelta(hours=1)
        if self.retention_hours is not None and self.retention_hours > hours:
            _refuse("retention_hours", f"At most {hours:g} hours are possible here.")
        if self.callback_url is None:
            return
        if not config.signing_webhooks:
            _refuse(
                "callback_url",
                "Webhooks are off until the operator sets SPLEETER_WEBHOOK_SECRET. Poll instead.",
            )
        try:
            guard.check(self.callback_url)
        except ForbiddenAddressError as error:
            _refuse("callback_url", str(error))

    def retention(self, config: ApiConfig) -> timedelta:
        """Tell how long everything is kept after the job's end."""
        if self.retention_hours is None:
            return min(config.default_retention, config.max_retention)
        return timedelta(hours=self.retention_hours)

    def job_options(self, model: RegisteredModel) -> Options:
        """Give the options of the job, each in its one spelling.

        Raises:
            InvalidFieldsError: when they do not go together.
        """
        foreign = [stem for stem in self.only if stem not in model.stems]
        if foreign:
            _refuse("only", f"Of {self.stems} stems there are {', '.join(model.stems)}, but no {foreign[0]}.")
        wanted = tuple(stem for stem in model.stems if stem in self.only)
        return Options(
            stems=self.stems,
            codec=self.codec,
            bitrate=normal_bitrate(self.codec, self.bitrate),
            offset=self.offset,
            duration=self.duration,
            bandwidth=self.bandwidth,
            mwf=self.mwf,
            only=() if wanted == model.stems else wanted,
            metadata=self.metadata,
            callback_url=self.callback_url,
        )


def _refuse(field: str, reason: str) -> NoReturn:
    raise InvalidFieldsError({field: reason})


def from_json(body: bytes) -> SubmissionForm:
    """Read a submission that names the song's address.

    Raises:
        MalformedRequestError: when it is not JSON.
        InvalidFieldsError: when fields are missing, unknown or wrong.
    """
    values = _parsed(body)
    if not isinstance(values, dict):
        raise MalformedRequestError("The body must be a JSON object.")
    if values.get("source_url") is None:
        _refuse("source_url", "Name the song's address here, or send the song in a multipart form.")
    return _validated(values)


_READ_AS_JSON = {"stems", "offset", "duration", "mwf", "metadata", "retention_hours"}


def from_form(fields: Iterable[tuple[str, str]]) -> SubmissionForm:
    """Read a submission from a form's fields, other than the file; empty ones count as left out.

    Raises:
        InvalidFieldsError: when fields are unknown, wrong or there twice.
    """
    values: dict[str, Any] = {}
    for name, text in fields:
        if name == "source_url":
            _refuse(name, "Send either a file or an address: the latter as JSON.")
        if name == "only":
            values.setdefault(name, []).extend(part.strip() for part in text.split(",") if part.strip())
        elif name in values:
            _refuse(name, "The field is there twice.")
        elif text.strip():
            values[name] = _value(name, text.strip())
    return _validated(values)


def _value(name: str, text: str) -> Any:
    if name not in _READ_AS_JSON:
        return text
    try:
        return _parsed(text.lower() if name == "mwf" else text)
    except MalformedRequestError:
        return text  # which then is not what it should be


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError("The body is not JSON.") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _validated(values: Mapping[str, Any]) -> SubmissionForm:
    try:
        return SubmissionForm.model_validate(values)
    except ValidationError as error:
        raise invalid_fields(error.errors(include_url=False, include_input=False)) from error
