"""Separates songs into stems with Deezer's Spleeter networks.

``from spleeter_microservice import Separator`` is all that most programs need.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's, whose import would take longer than all else that is done here
if TYPE_CHECKING:
    from typing import Any

    from spleeter_microservice.library import Separator

__all__ = ["Separator"]


def __getattr__(name: str) -> Any:
    """Import the library at its first use: the command line starts faster without it."""
    if name == "Separator":
        from spleeter_microservice.separation.device import check_processor  # noqa: PLC0415

        check_processor()
        from spleeter_microservice.library import Separator  # noqa: PLC0415

        return Separator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
