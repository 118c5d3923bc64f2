"""Separates the example song that comes with the 2-stem weights, and says what came of it."""

import os
import sys
from pathlib import Path

from spleeter_microservice.bootstrap import find_model, open_store
from spleeter_microservice.cli import main
from spleeter_microservice.settings import Settings

OUTPUT = Path("separated_audio")


def demo() -> int:
    """Fetch the weights if need be, then do what a user would type."""
    settings = Settings.from_environment(os.environ)
    find_model("2stems", settings, announce=print)
    song = open_store(settings).example_song()
    arguments = ["separate", "-p", "2stems", "-o", str(OUTPUT), str(song)]
    print("$ spleeter-microservice " + " ".join(arguments), flush=True)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(demo())
