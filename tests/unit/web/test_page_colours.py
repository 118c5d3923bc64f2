"""The page is readable in light and dark mode."""

import re
from importlib import resources

import pytest

CSS = (resources.files("spleeter_microservice.web") / "static" / "page.css").read_text(encoding="utf-8")
PAIRS = [
    ("text", "ground"),
    ("text", "surface"),
    ("faint", "ground"),
    ("faint", "surface"),
    ("on-accent", "accent"),
    ("bad", "bad-ground"),
    ("label", "label-ground"),
]
EDGES = [("line", "surface"), ("accent", "surface"), ("wave", "surface")]


def palette(scheme: str) -> dict[str, str]:
    """Return the colours of a scheme by name."""
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", light))
    return colours if scheme == "light" else colours | dict(re.findall(r"--([\w-]+): (#\w+);", dark))


def luminance(colour: str) -> float:
    """Return the relative luminance as defined by WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    values = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_edges_have_the_contrast_that_wcag_requires(scheme: str) -> None:
    colours = palette(scheme)
    for text, ground in PAIRS:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for edge, ground in EDGES:
        assert contrast(colours[edge], colours[ground]) >= 3, (edge, ground)
