"""Measure speed and memory beside official Spleeter, in the same run.

Each figure is that of a whole process, timed from outside: starting Python, loading the model, reading,
separating and writing. Name the sections to run only those: ``python -m bench official length``.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import official, options
from bench.machine import machine
from bench.models import random_model
from bench.network import matrix_product_rate, operations
from bench.process import Cost, middle, run
from bench.songs import difference, looped
from bench.tables import row
from spleeter_microservice.models.example import EXAMPLE_SONG
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.separation.device import available_cores
from spleeter_microservice.settings import Settings

SONG_SECONDS, QUICK_SECONDS = 240, 5
LONGER = 15  # times as long: an hour beside four minutes


class Bench:
    """The state that the sections share.

    Args:
        folder: the folder for everything that is written.
        official_folder: the virtual environment of official Spleeter.
        rounds: the number of runs of each command; medians are printed.
        seconds: the length of the song.
    """

    def __init__(self, folder: Path, official_folder: Path, rounds: int, seconds: int) -> None:
        self.folder, self.official_folder, self.rounds = folder, official_folder, rounds
        self.seconds = seconds
        settings = Settings.from_environment(os.environ)
        store = ModelStore(settings.models_dir, mirror=settings.models_url)
        self.model = find_model("2stems", store)
        self.example = self.model.folder / EXAMPLE_SONG

    def song(self, seconds: int) -> Path:
        """Return a song of this length, which is made once."""
        path = self.folder / f"song{seconds}.wav"
        return path if path.exists() else looped(self.example, seconds, path)

    def ours(self, song: Path, *options: str) -> Cost:
        """Separate a song with this project's command and return the cost."""
        command = [sys.executable, "-m", "spleeter_microservice", "separate"]
        outputs = ["-o", str(self.folder / "ours"), "--report", str(self.folder / "report.json")]
        return run([*command, *outputs, *options, song])

    def written(self, song: Path, stem: str) -> Path:
        """Return the file that ``ours`` wrote a stem to."""
        return self.folder / "ours" / song.stem / f"{stem}.wav"

    def report(self) -> dict[str, object]:
        """Return the report of the last run of ``ours``."""
        report: dict[str, object] = json.loads((self.folder / "report.json").read_text())["songs"][0]
        return report

    def against_official(self) -> None:
        """A song of four minutes, 2 stems to WAV."""
        song = self.song(self.seconds)
        command = official.install(self.official_folder)
        weights = official.write_weights(self.model, self.official_folder / "models")
        theirs, ours = [], []
        for _ in range(self.rounds):
            ours.append(self.ours(song))
            theirs.append(
                run(
                    [command, "separate", "-p", "spleeter:2stems", "-o", self.folder / "theirs", song],
                    {"MODEL_PATH": str(weights), "TF_CPP_MIN_LOG_LEVEL": "3"},
                )
            )
        row("", "wall s", "cpu s", "memory MB")
        cost_row("official Spleeter 2.4.2", middle(theirs))
        cost_row("spleeter-microservice", middle(ours))
        ratios = sorted(t.wall / o.wall for t, o in zip(theirs, ours, strict=True))
        print(f"times faster, pair by pair: {', '.join(f'{r:.1f}' for r in ratios)}")
        print(f"times less memory: {middle(theirs).memory / middle(ours).memory:.1f}")
        for stem in self.model.architecture.stems:
            level = difference(self.folder / "theirs" / song.stem / f"{stem}.wav", self.written(song, stem))
            print(f"difference of the {stem}, written with 16 bits: {level:.1f} dB")

    def length(self) -> None:
        """An hour beside four minutes: memory must not grow, and nothing may be cut."""
        row("", "wall s", "cpu s", "memory MB")
        memory = []
        for seconds in (self.seconds, LONGER * self.seconds):
            cost = self.ours(self.song(seconds))
            cost_row(f"{seconds} s", cost)
            memory.append(cost.memory)
            if self.report()["samples"] != seconds * 44100:
                raise RuntimeError(f"The song was cut to {self.report()['samples']} samples.")
        print(f"memory of the longer song relative to the shorter: {memory[1] / memory[0]:.3f}")

    def stems(self) -> None:
        """Time by the number of networks; 4 and 5 stems with random weights of the real size."""
        song = self.song(self.seconds)
        row("", "wall s", "cpu s", "memory MB", "wall s/network")
        for name, networks in (("2stems", 2), ("4stems", 4), ("5stems", 5)):
            model = name if name == "2stems" else str(random_model(name, self.folder))
            self.ours(self.song(1), "-p", model)  # writes the networks before the clock starts
            cost = middle([self.ours(song, "-p", model) for _ in range(self.rounds)])
            cost_row(name, cost, f"{cost.wall / networks:.2f}")

    def stages(self) -> None:
        """Where the time goes, and how close the networks come to the machine's limit."""
        cost = self.ours(self.song(self.seconds))
        report = self.report()
        elapsed, first, stages = report["elapsed"], report["first_block"], report["stages"]
        assert isinstance(elapsed, float)
        assert isinstance(first, float)
        assert isinstance(stages, dict)
        print(f"start to first block: {cost.wall - elapsed + first:.2f} s")
        print(f"  of which starting Python and loading the model: {cost.wall - elapsed:.2f} s")
        total = sum(stages.values())
        for stage, seconds in sorted(stages.items(), key=lambda item: -item[1]):
            print(f"  {stage:12} {seconds:6.2f} s of processor time  {100 * seconds / total:4.1f} %")
        print(f"  {'(all)':12} {total:6.2f} s; the whole process {cost.cpu:.2f} s")
        cores = available_cores()
        rate = matrix_product_rate(self.seconds / 120)
        segments = -(-(self.seconds * 44100 + 4096) // (512 * 1024))
        needed = segments * 2 * operations(self.model.architecture)
        print(f"matrix product, {cores} cores: {rate / 1e9:.0f} GFLOP/s")
        print(
            f"networks: {needed / 1e9:.0f} GFLOP in {stages['network']:.2f} s of processor time = "
            f"{needed / stages['network'] * cores / 1e9:.0f} GFLOP/s on {cores} cores, "
            f"{100 * needed / stages['network'] * cores / rate:.0f} % of the matrix product's rate"
        )


def cost_row(name: str, cost: Cost, *more: str) -> None:
    """Print one row of costs."""
    row(name, f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{cost.memory:.0f}", *more)


def main() -> None:
    """Run the sections named on the command line, or all."""
    sections: dict[str, Callable[[Bench], None]] = {
        "official": Bench.against_official,
        "stages": Bench.stages,
        "stems": Bench.stems,
        "length": Bench.length,
    }
    parser = options.parser(__doc__, sections, rounds=3)
    parser.add_argument(
        "--official",
        type=Path,
        default=Path(".venv-official"),
        help="virtual environment of official Spleeter, installed if absent (default: %(default)s)",
    )
    chosen = parser.parse_args()
    seconds, rounds, standard = SONG_SECONDS, chosen.rounds, [*sections]
    if chosen.quick:
        seconds, rounds, standard = QUICK_SECONDS, 1, ["stages"]
    print(f"Measured on {machine()}.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), chosen.official.resolve(), rounds, seconds)
        for name in chosen.sections or standard:
            print(f"\n{name}: {sections[name].__doc__}", flush=True)
            sections[name](bench)


if __name__ == "__main__":
    main()
