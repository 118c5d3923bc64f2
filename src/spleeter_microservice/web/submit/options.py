"""The fields of a submission, validated one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from spleeter_microservice import errors
from spleeter_microservice.audio.codecs import CODECS
from spleeter_microservice.jobs.job import JobOptions
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.separation.declarations import Option
from spleeter_microservice.separation.mixes import (
    LONGEST_EXPRESSION,
    MIX_NAME,
    MOST_MIXES,
    check_mixes,
)
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.presets import with_preset
from spleeter_microservice.storage.bucket_urls import is_bucket_url
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.web.problem_handler import invalid_fields
from spleeter_microservice.web.separations.schemas import HTTP_OPTIONS
from spleeter_microservice.web.services import ApiConfig
from spleeter_microservice.web.uploads.headers import upload_id

_BY_STEM_COUNT = CATALOGUE.by_stem_count()
if TYPE_CHECKING:
    StemCount = int
    ModelName = str
else:
    StemCount = Literal[tuple(_BY_STEM_COUNT)]
    ModelName = Literal[CATALOGUE.names]
Output = Annotated[
    str,
    Field(pattern=MIX_NAME),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "enum": [*CATALOGUE.stems]}, {"type": "string", "pattern": MIX_NAME}]}
    ),
]
"""Name of a stem or mix."""


def printable(text: str) -> str:
    """Return the text unchanged if it is Unicode without control characters.

    Raises:
        ValueError: if it is not: logs, headers and PostgreSQL cannot hold such texts.
    """
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("Control characters are not allowed")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Unpaired surrogates are not allowed")
    return text


def _canonical_upload(text: str) -> str:
    found = upload_id(text)
    if found is None:
        raise ValueError("This is not the id or address of a resumable upload")
    return str(found)


def _canonical_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise ValueError("This is not the id of a separation") from error


_Key = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(printable)]
_Value = Annotated[str, Field(max_length=1000), AfterValidator(printable)]
_Expression = Annotated[str, Field(min_length=1, max_length=LONGEST_EXPRESSION)]
_Mixes = dict[Annotated[str, Field(pattern=MIX_NAME)], _Expression]
_Upload = Annotated[str, Field(max_length=2048), AfterValidator(_canonical_upload)]
_Id = Annotated[str, AfterValidator(_canonical_id)]
_Url = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(printable)]
_SignedUrl = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(printable)]
_KINDS = ("<text>", "<object>")  # names that an error puts between the field and what is wrong in it
_Destination = Annotated[
    Annotated[_SignedUrl, Tag(_KINDS[0])]
    | Annotated[dict[_Key, _SignedUrl], Field(min_length=1), Tag(_KINDS[1])],
    Discriminator(lambda value: _KINDS[isinstance(value, dict)]),
]


def _text_of_number(value: Any) -> Any:
    """Return a number as text: 24 and "24" mean the same."""
    return str(value) if type(value) in (int, float) else value


def _field(option: Option) -> tuple[Any, Any]:
    """Return the type and the description of an option's field; left out, it is None if it may be."""
    kind: Any = Literal[option.choices] if option.choices else option.kind
    default = None if option.may_be_none else option.default
    limits: dict[str, Any] = {
        "ge": option.minimum,
        "gt": option.above,
        "le": option.maximum,
        "pattern": option.pattern,
    }
    if option.kind is tuple:
        name: Any = Output if option.pattern else Literal[CATALOGUE.stems]
        kind, default = list[name], []
        limits = {"max_length": max(_BY_STEM_COUNT) + MOST_MIXES}
    elif option.kind is Mapping:
        kind, default, limits = _Mixes, {}, {"max_length": MOST_MIXES}
    facts: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    if option.kind is float:
        facts["allow_inf_nan"] = False
    if option.kind is str and (option.may_be_none or option.pattern):
        kind = Annotated[kind, BeforeValidator(_text_of_number)]
    if option.example is not None:
        facts["examples"] = [option.example]
    return (kind | None if option.may_be_none else kind), Field(
        default=default, description=option.help, **facts
    )


_FIELDS: dict[str, Any] = {option.name: _field(option) for option in HTTP_OPTIONS}
_OptionFields: Any = create_model("_OptionFields", **_FIELDS)


class SubmissionForm(_OptionFields):  # type: ignore[misc]  # a base class made at run time
    """A song to separate and how; the fields of all options, and those that only HTTP has."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source_url: _SignedUrl | None = Field(
        default=None,
        description="Address of the song, if the song is not sent along. Only public addresses are allowed, "
        "and only if the operator has enabled fetching.",
        examples=["https://example.com/song.mp3"],
    )
    upload: _Upload | None = Field(
        default=None,
        description="Id or address of a complete resumable upload that is the song. It is erased once the "
        "separation exists.",
        examples=["/v1/uploads/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b"],
    )
    separation: _Id | None = Field(
        default=None,
        description="Id of a separation of yours that is still kept, whatever its outcome: its song is "
        "separated again, with the options of this request.",
        examples=["0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b"],
    )
    example: bool = Field(
        default=False,
        description="Separate the example song of the service, if GET /v1/limits says that it has one.",
        examples=[True],
    )
    stems: StemCount = Field(
        default=2,
        description=" ".join(f"{n}: {', '.join(entry.stems)}." for n, entry in _BY_STEM_COUNT.items()),
    )
    model: ModelName | None = Field(
        default=None,
        description="Model to use instead of the best one with that many stems; GET /v1/models lists them. "
        "It decides stems, so leave those out.",
        examples=["2stems"],
    )
    metadata: dict[_Key, _Value] = Field(
        default_factory=dict,
        max_length=50,
        description="Your own texts by names of your choice, returned to you. In a form: a JSON object.",
        examples=[{"title": "Song", "order": "4711"}],
    )
    callback_url: _Url | None = Field(
        default=None,
        description="Address that receives a signed webhook when the job ends, whatever its outcome.",
        examples=["https://example.com/hooks/separated"],
    )
    destination_url: _Destination | None = Field(
        default=None,
        description="Where the stems are written when they are done: a folder in a bucket that the operator "
        "lists, or a pre-signed address for each name, in an object. They are kept here too.",
        examples=["s3://bucket/separated/song", {"vocals": "https://bucket.s3.amazonaws.com/v.wav?X-Amz-…"}],
    )
    retention_hours: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        allow_inf_nan=False,
        description="Hours after the job's end until everything is erased. The operator sets the default and "
        "the maximum.",
        examples=[24],
    )

    @classmethod
    def validated(cls, values: Mapping[str, Any]) -> SubmissionForm:
        """Return the submission with these fields, and with those that its preset stands for.

        Raises:
            InvalidFieldsError: if fields are unknown or wrong.
        """
        try:
            form: SubmissionForm = cls.model_validate(with_preset(values))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            for item in found:
                item["loc"] = tuple(part for part in item["loc"] if part not in _KINDS)
            raise invalid_fields(found) from error
        return form

    def check(self, config: ApiConfig, policy: UrlPolicy, buckets: Buckets, tenant: str) -> None:
        """Check the fields that depend on each other or on the operator's settings.

        Raises:
            InvalidFieldsError: naming the field that is refused.
            ForbiddenAddressError: if an address is one that is not called, or not for this tenant.
        """
        hours = config.max_retention / timedelta(hours=1)
        if self.retention_hours is not None and self.retention_hours > hours:
            refuse("retention_hours", f"At most {hours:g} hours are allowed here.")
        self._check_model()
        with refusing():
            JobOptions(**self._chosen).check_together()
        if self.callback_url is not None and not config.signing_webhooks:
            refuse(
                "callback_url",
                "Webhooks are disabled until the operator sets SPLEETER_WEBHOOK_SECRET. Poll instead.",
            )
        destination = self.destination_url
        is_bucket = isinstance(destination, str) and is_bucket_url(destination)
        if destination is not None and not is_bucket and not config.destination_urls:
            refuse(
                "destination_url",
                "Only buckets are written to, such as s3://bucket/folder, until the operator sets "
                "SPLEETER_DESTINATION_URLS. Name one, or download the stems.",
            )
        if self.callback_url is not None:
            with refusing("callback_url"):
                policy.check(self.callback_url)
        with refusing("destination_url"):
            for url in destination.values() if isinstance(destination, dict) else [destination]:
                if url is not None:
                    buckets.find(tenant, url) if is_bucket else policy.check(url)

    def _check_model(self) -> None:
        if self.model is None:
            return
        model, sent = CATALOGUE.resolve(self.model), self.model_fields_set
        if "stems" in sent and self.stems != len(model.entry.stems):
            refuse("stems", f"The model {model.name} makes {len(model.entry.stems)} stems. Leave this out.")
        if "bandwidth" in sent and {self.bandwidth, model.bandwidth} == {"official", "16kHz"}:
            refuse("bandwidth", f"The model {model.name} has another bandwidth. Leave this out.")

    def retention(self, config: ApiConfig) -> timedelta:
        """Return how long everything is kept after the job's end."""
        if self.retention_hours is None:
            return min(config.default_retention, config.max_retention)
        return timedelta(hours=self.retention_hours)

    def reading_options(self) -> SeparationOptions:
        """Return the options that decide what of the song is read."""
        return SeparationOptions(track=self.track, damaged=self.damaged, keep_delay=self.keep_delay)

    def job_options(self, model: RegisteredModel) -> JobOptions:
        """Return the options of the job, each in its canonical spelling.

        Raises:
            InvalidFieldsError: if they do not go together.
        """
        chosen = self._chosen | {"bitrate": _canonical_bitrate(self.codec, self.bitrate)}
        if self.model and model.bandwidth == "16kHz":
            chosen.setdefault("bandwidth", "16kHz")
        options = JobOptions(
            **chosen,
            stems=len(model.stems),
            model=self.model,
            metadata=self.metadata,
            callback_url=self.callback_url,
        )
        with refusing("without"):
            replace(options, mixes={}, video={}, only=()).outputs(model.stems)
        with refusing("mixes"):
            check_mixes(options.mixes, options.without)
            replace(options, video={}, only=()).outputs(model.stems)
        with refusing("video"):
            check_mixes(options.mixes, options.without, options.video)
            names = [*replace(options, only=()).outputs(model.stems)]
        with refusing("only"):
            outputs = [*options.outputs(model.stems)]
        wanted = tuple(name for name in names if name in options.only)
        only = () if wanted == model.stems else wanted
        return replace(options, only=only, destination_url=self._destination(outputs))

    @property
    def _chosen(self) -> dict[str, Any]:
        """The options that were sent."""
        sent = self.model_fields_set
        return {option.name: getattr(self, option.name) for option in HTTP_OPTIONS if option.name in sent}

    def _destination(self, names: Sequence[str]) -> str | Mapping[str, str] | None:
        """Return the destination, in which every address has the name of what is written there."""
        destination = self.destination_url
        if isinstance(destination, str) and not is_bucket_url(destination):
            if len(names) > 1:
                refuse(
                    "destination_url",
                    f"One address takes one file, but there will be {', '.join(names)}. Send an object with "
                    "an address for each, choose one with only, or name a folder in a bucket.",
                )
            return {names[0]: destination}
        for name in destination if isinstance(destination, dict) else ():
            if name not in names:
                refuse("destination_url", f"There will be {', '.join(names)}, but no {name}.")
        return destination


def _canonical_bitrate(codec: str, bitrate: str | None) -> str | None:
    """Return a bitrate in its canonical spelling; None for a lossless codec, which has none."""
    with refusing("bitrate"):
        bits = CODECS[codec].bits_per_second(bitrate)
    if bits is None:
        return None
    return f"{bits // 1000}k" if bits % 1000 == 0 else str(bits)


@contextmanager
def refusing(field: str = "") -> Iterator[None]:
    """Name the field of an option or an address that is refused, unless the error names others."""
    try:
        yield
    except errors.ConfigurationError as error:
        raise errors.InvalidFieldsError(error.fields or {field: str(error)}) from error
    except errors.ForbiddenAddressError as error:
        error.fields = {field: str(error)}
        raise


def refuse(field: str, reason: str) -> NoReturn:
    """Refuse a field.

    Raises:
        InvalidFieldsError: always.
    """
    raise errors.InvalidFieldsError({field: reason})
