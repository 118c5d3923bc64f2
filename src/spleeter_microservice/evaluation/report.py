"""The HTML report of an evaluation: one self-contained file of tables, boxplots and spectrograms."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.util import find_spec

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.evaluation.evaluate import SongScores
from spleeter_microservice.evaluation.spectrogram_images import HEIGHT, WIDTH, Spectrogram, png
from spleeter_microservice.evaluation.summary import detail_tables, numbers, song_rows, summary_rows

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0 }
.wide { overflow-x: auto }
td, th { border-bottom: 1px solid #ccc; padding: .2rem .7rem; text-align: right }
td.name, th.name { text-align: left }
figure { display: inline-block; margin: .3rem .6rem .6rem 0 }
figcaption { color: #555; font-size: .85rem }
img { max-width: 100% }
"""


def check_drawing() -> None:
    """Raise if pictures could not be drawn after the evaluation.

    Raises:
        ConfigurationError: if matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ConfigurationError(
            "--html needs matplotlib. Run pip install 'spleeter-microservice[evaluate]', or omit --html."
        )


def html(title: str, facts: Mapping[str, str], songs: Sequence[SongScores], failed: Mapping[str, str]) -> str:
    """Return the report as an HTML document.

    Args:
        title: heading of the report.
        facts: list below the heading, by label.
        songs: scores of the songs.
        failed: errors of the songs that could not be scored, by name.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        _list({name: escape(value) for name, value in facts.items()}),
        "<h2>Summary</h2><p>Median over the songs (mean), in dB; higher is better.</p>",
        _table(summary_rows(songs)),
        *map(_table, detail_tables(songs)),
        *([_picture(_boxplot(songs), "SDR over the songs")] if songs else []),
        "<h2>Songs</h2>",
        _table(song_rows(songs)),
        *map(_song, songs),
        *(["<h2>Not scored</h2>", _list({k: escape(v) for k, v in failed.items()})] if failed else []),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _song(song: SongScores) -> str:
    remarks = [f"{name} not scored: {reason}" for name, reason in song.unscored.items()] + list(song.notes)
    pictures = "<br>".join(_pair(name, *pair) for name, pair in song.pictures.items())
    return (
        f"<details open><summary>{escape(song.song)}, {song.duration:.1f} s</summary>"
        + "".join(f"<p>{escape(remark)}.</p>" for remark in remarks)
        + f"{pictures}</details>"
    )


def _pair(name: str, reference: Spectrogram, estimate: Spectrogram) -> str:
    loudest = float(max(reference.decibels().max(), estimate.decibels().max()))
    return _picture(png(reference, loudest), f"{name}, reference", small=True) + _picture(
        png(estimate, loudest), f"{name}, estimate", small=True
    )


def _picture(image: bytes, caption: str, *, small: bool = False) -> str:
    size = f' width="{WIDTH}" height="{HEIGHT}"' if small else ""
    data = b64encode(image).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}"{size} src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _boxplot(songs: Sequence[SongScores]) -> bytes:
    """Draw each stem's SDR over the songs, beside that of the mixture and the oracle."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # optional
    from matplotlib.figure import Figure  # noqa: PLC0415

    groups = {"mixture": "mixture_sdr", "estimate": "sdr", "oracle mask": "oracle_sdr"}
    stems = list(dict.fromkeys(name for song in songs for name in song.stems))
    figure = Figure(figsize=(max(5, 2.4 * len(stems)), 4), layout="constrained")
    axes = figure.add_subplot()
    for position, key in enumerate(groups.values()):
        values = [_values(songs, stem, key) for stem in stems]
        places = [4 * i + position for i in range(len(stems))]
        boxes = axes.boxplot(values, positions=places, widths=0.7, patch_artist=True)
        for box in boxes["boxes"]:
            box.set_facecolor(f"C{position}")
            box.set_alpha(0.5)
    axes.set_xticks([4 * i + 1 for i in range(len(stems))], stems)
    axes.set_ylabel("SDR in dB")
    axes.grid(axis="y", alpha=0.4)
    axes.set_title(", ".join(groups) + " (left to right)", fontsize="small")
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png")
    return out.getvalue()


def _values(songs: Sequence[SongScores], stem: str, key: str) -> list[float]:
    found = [numbers(song.stems[stem])[key] for song in songs if stem in song.stems]
    return [value for value in found if value is not None]


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = []
    for i, row in enumerate(rows):
        tag = "td" if i else "th"
        cells = zip(rows[0], row, strict=True)
        classes = [(' class="name"' if head in ("song", "stem") else "", cell) for head, cell in cells]
        lines.append("<tr>" + "".join(f"<{tag}{c}>{escape(cell)}</{tag}>" for c, cell in classes) + "</tr>")
    return '<div class="wide"><table>' + "\n".join(lines) + "</table></div>"


def _list(entries: Mapping[str, str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(name)}: {value}</li>" for name, value in entries.items()) + "</ul>"
