"""Medians and means of the songs' scores, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

from spleeter_microservice.evaluation.details import DETAILS
from spleeter_microservice.evaluation.evaluate import SongScores, StemScores

METRICS: Mapping[str, str] = {
    "sdr": "SDR",
    "si_sdr": "SI-SDR",
    "mixture_sdr": "mixture SDR",
    "mixture_si_sdr": "mixture SI-SDR",
    "oracle_sdr": "oracle SDR",
    "oracle_si_sdr": "oracle SI-SDR",
    "bsseval_sdr": "BSS SDR",
    "bsseval_sir": "BSS SIR",
    "bsseval_sar": "BSS SAR",
    "bsseval_isr": "BSS ISR",
}
"""Headings of all metrics, which are in dB, by their names in JSON."""


def numbers(scores: StemScores) -> dict[str, float | None]:
    """Return a stem's scores in dB by the names of ``METRICS`` and ``DETAILS``, if they were computed."""
    sdr_scores = {"": scores.estimate, "mixture_": scores.mixture, "oracle_": scores.oracle}
    found: dict[str, float | None] = {}
    for prefix, ratios in sdr_scores.items():
        found[f"{prefix}sdr"] = None if ratios is None else ratios.sdr
        found[f"{prefix}si_sdr"] = None if ratios is None else ratios.si_sdr
    if scores.bsseval:
        found |= {f"bsseval_{name}": value for name, value in asdict(scores.bsseval).items()}
    return found | dict(scores.details)


def describe(song: SongScores) -> dict[str, Any]:
    """Return a song's scores as values that JSON can represent."""
    return {
        "song": song.song,
        "state": "judged",  # the report's names are stable
        "duration": round(song.duration, 3),
        "elapsed": round(song.elapsed, 3),
        "stems": {
            name: {key: _rounded(value) for key, value in numbers(scores).items()}
            for name, scores in song.stems.items()
        },
        "unjudged": dict(song.unscored),
        "notes": list(song.notes),
    }


def museval(song: SongScores) -> dict[str, Any]:
    """Return a song's BSSEval in the form of ``museval``'s files, its medians as the only frame."""
    return {
        "targets": [
            {
                "name": name,
                "frames": [
                    {
                        "time": 0.0,
                        "duration": round(song.duration, 3),
                        "metrics": {key.upper(): value for key, value in asdict(scores.bsseval).items()},
                    }
                ],
            }
            for name, scores in song.stems.items()
            if scores.bsseval
        ]
    }


def summarise(songs: Iterable[SongScores]) -> dict[str, dict[str, Any]]:
    """Return, for each stem, the number of songs with it, and each metric's median and mean.

    Songs in which a metric is undefined do not count; a metric that is undefined in all is left out.
    """
    columns: dict[str, dict[str, list[float]]] = {}
    for song in songs:
        for stem, scores in song.stems.items():
            if scores.estimate is None:
                continue
            for key, value in numbers(scores).items():
                if value is not None:
                    columns.setdefault(stem, {}).setdefault(key, []).append(value)
    return {
        stem: {"songs": len(metrics["sdr"])}
        | {
            key: {"median": _rounded(median(values)), "mean": _rounded(fmean(values))}
            for key, values in metrics.items()
        }
        for stem, metrics in columns.items()
    }


def summary_rows(songs: Sequence[SongScores], metrics: Mapping[str, str] = METRICS) -> list[tuple[str, ...]]:
    """Return the summary as rows of a table, the heading first: medians, with means in brackets."""
    summary = summarise(songs)
    keys = [key for key in metrics if any(key in stem for stem in summary.values())]
    rows = [("stem", "songs", *(metrics[key] for key in keys))]
    for name, stem in summary.items():
        rows.append((name, str(stem["songs"]), *(_both(stem.get(key)) for key in keys)))
    return rows


def song_rows(songs: Sequence[SongScores], metrics: Mapping[str, str] = METRICS) -> list[tuple[str, ...]]:
    """Return the songs' scores as rows of a table, the heading first."""
    every = [(song.song, stem, numbers(scores)) for song in songs for stem, scores in song.stems.items()]
    keys = [key for key in metrics if any(key in found for _, _, found in every)]
    heading = ("song", "stem", *(metrics[key] for key in keys))
    return [heading, *((song, stem, *(_cell(n.get(key)) for key in keys)) for song, stem, n in every)]


def detail_tables(songs: Sequence[SongScores]) -> list[list[tuple[str, ...]]]:
    """Return tables of the details, over the songs and for each of them; none if they were not computed."""
    if not any(scores.details for song in songs for scores in song.stems.values()):
        return []
    return [summary_rows(songs, DETAILS), song_rows(songs, DETAILS)]


def remarks(songs: Sequence[SongScores]) -> str:
    """Return remarks on the songs, such as stems that were not scored, one a line."""
    lines = []
    for song in songs:
        lines += [f"{song.song}: {name} not scored: {reason}." for name, reason in song.unscored.items()]
        lines += [f"{song.song}: {note}." for note in song.notes]
    return "\n".join(lines)


def _both(values: Mapping[str, float] | None) -> str:
    return f"{values['median']:.2f} ({values['mean']:.2f})" if values else "–"


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
