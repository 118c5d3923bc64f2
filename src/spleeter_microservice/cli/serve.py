"""The commands ``serve``, ``api`` and ``worker``."""

from __future__ import annotations

import argparse
import asyncio
import errno
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

from spleeter_microservice import errors
from spleeter_microservice.processes import parent_watch
from spleeter_microservice.processes.supervisor import OnExit, Program, RestartPolicy, Supervisor, Upkeep
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.database.embedded import EmbeddedPostgres

_PORT_TIMEOUT = 5.0  # seconds for the API of a killed supervisor to release its port
_BACKLOG = 2048
_NOT_STARTED = 3  # exit status if a process cannot start for another reason than _OWN
_OWN = {errors.ConfigurationError.exit_status, errors.DatabaseTooNewError.exit_status}
_NO_MODEL: list[type[errors.SpleeterError]] = [
    *errors.error_classes(errors.ModelError),
    errors.SelfCheckError,
    errors.UnwritableOutputError,
]
# Exit statuses of a process that would end in the same way if it were started again.
_HOPELESS = _OWN | {error.exit_status for error in _NO_MODEL} - {errors.ModelError.exit_status}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    serve = commands.add_parser(
        "serve",
        help="run the whole service on this machine",
        description="Runs the API, the workers and, unless SPLEETER_DATABASE_URL is set, PostgreSQL.",
    )
    serve.set_defaults(run=run_serve)
    api = commands.add_parser("api", help="run the API alone", description="Runs the API alone.")
    api.add_argument("--socket", type=int, metavar="FD", help=argparse.SUPPRESS)  # that serve listens on
    api.set_defaults(run=run_api)
    worker = commands.add_parser("worker", help="run a worker alone", description="Runs a worker alone.")
    worker.set_defaults(run=run_worker)
    for parser in (api, worker):
        parser.add_argument("--lifeline", type=int, metavar="FD", help=argparse.SUPPRESS)


def run_serve(options: argparse.Namespace, settings: Settings) -> int:
    """Run the whole service until SIGTERM or Ctrl-C; a second one shortens the shutdown."""
    _begin(settings)
    with ExitStack() as stack:
        bound = stack.enter_context(_bind(settings))
        _share_metrics(settings)
        from spleeter_microservice.bootstrap.api import require_access
        from spleeter_microservice.bootstrap.shared import audit_keys, open_object_store
        from spleeter_microservice.bootstrap.tokens import token_verifier

        open_object_store(settings)  # finds out whether it can be opened before anything starts
        token_verifier(settings)
        url, database = _open_database(stack, settings)
        asyncio.run(require_access(settings, url))
        keys = ",".join(key.decode() for key in audit_keys(settings))
        environ = dict(os.environ) | {"SPLEETER_DATABASE_URL": url, "SPLEETER_AUDIT_KEY": keys}
        programs = [*_api_programs(settings, bound, environ), Program("worker", ["worker"], environ)]
        _listen(settings, bound)
        return asyncio.run(_supervise(settings, programs, _upkeep(database) if database else None, url))


def run_api(options: argparse.Namespace, settings: Settings) -> int:
    """Run the API until SIGTERM or Ctrl-C, in as many processes as the settings say."""
    settings.require_database("the API")
    from spleeter_microservice.bootstrap.tokens import token_verifier

    token_verifier(settings)  # finds out whether its proxies can be used before anything starts
    _begin(settings, options)
    if options.socket is not None:
        with socket.socket(fileno=options.socket) as listening:
            return _run_server(settings, listening)
    with _bind(settings) as bound:
        if settings.api_processes > 1:
            _share_metrics(settings)
        _listen(settings, bound)
        if settings.api_processes == 1:
            return _run_server(settings, bound)
        return asyncio.run(_supervise(settings, _api_programs(settings, bound, os.environ)))


def run_worker(options: argparse.Namespace, settings: Settings) -> int:
    """Run a worker until SIGTERM or Ctrl-C; a second one shortens the shutdown."""
    settings.require_database("a worker")
    from spleeter_microservice.bootstrap import worker
    from spleeter_microservice.observability.metrics import serve_metrics

    _begin(settings, options)
    if settings.metrics_port:
        serve_metrics(settings.host, settings.metrics_port)
    asyncio.run(worker.run_worker(settings))
    return 0


def _begin(settings: Settings, options: argparse.Namespace | None = None) -> None:
    """Prepare the process, its folders and its log; stop it with its supervisor, if there is one."""
    from spleeter_microservice.bootstrap.shared import make_data_folders
    from spleeter_microservice.observability.logs import configure_logging
    from spleeter_microservice.processes.descriptors import raise_limit

    raise_limit()
    make_data_folders(settings)
    configure_logging(settings.log_level)
    if options and options.lifeline is not None:
        parent_watch.watch(options.lifeline)


def _run_server(settings: Settings, listening: socket.socket) -> int:
    import uvicorn

    from spleeter_microservice.bootstrap.application import Application
    from spleeter_microservice.web.server import UVICORN_OPTIONS

    application = Application(settings)
    config = uvicorn.Config(
        application,
        **UVICORN_OPTIONS,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=math.ceil(settings.api_grace_s),
        backlog=_BACKLOG,
    )
    server = uvicorn.Server(config)
    # After stopping, the server raises the signals that stopped it once more.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run(sockets=[listening])
    except SystemExit:
        if application.failure is None:
            raise
    if application.failure:
        raise application.failure
    return 0 if server.started else 1


def _share_metrics(settings: Settings) -> None:
    """Make all processes share their metrics; to be called before ``metrics`` is imported."""
    from spleeter_microservice.bootstrap.shared import metrics_folder

    folder = metrics_folder(settings)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from spleeter_microservice.observability.metrics import clean_metrics

    clean_metrics(folder)


def _open_database(stack: ExitStack, settings: Settings) -> tuple[str, EmbeddedPostgres | None]:
    """Return the address of the database, and the embedded database if that is used, started."""
    from spleeter_microservice.bootstrap.database import embedded_database
    from spleeter_microservice.database.migrate import migrate

    if settings.database_url:
        return settings.database_url, None
    database = stack.enter_context(embedded_database(settings))
    migrate(database.url)
    return database.url, database


def _upkeep(database: EmbeddedPostgres) -> Upkeep:
    from spleeter_microservice.observability.metrics import WORKER_RESTARTS

    async def keep_up() -> None:
        database.reserve.keep()
        if not database.lives():
            await asyncio.to_thread(database.ensure_running)
            WORKER_RESTARTS.labels("database_ended").inc()

    return keep_up


def _on_exit(database_url: str | None) -> OnExit:
    """Return a function that counts an exited process, and requeues its jobs if it may have had any."""
    from spleeter_microservice.bootstrap.database import requeue_jobs_of
    from spleeter_microservice.observability.metrics import WORKER_RESTARTS, forget_process

    async def on_exit(pid: int, reason: str) -> None:
        WORKER_RESTARTS.labels(reason).inc()
        forget_process(pid)
        if database_url:
            await requeue_jobs_of(database_url, pid)

    return on_exit


async def _supervise(
    settings: Settings,
    programs: list[Program],
    upkeep: Upkeep | None = None,
    database_url: str | None = None,
) -> int:
    """Run programs until the service is stopped, and return the exit status.

    With a database, the start and the stop are recorded in it.
    """
    from spleeter_microservice.bootstrap.database import recorded_service

    restarts = RestartPolicy(drain=max(settings.grace_s, settings.api_grace_s) + 30)
    async with recorded_service(settings, database_url) if database_url else nullcontext():
        status = await Supervisor(programs, upkeep, _on_exit(database_url), restarts, _HOPELESS).run()
    return status if status in {0, *_OWN} else _NOT_STARTED


def _api_programs(settings: Settings, listening: socket.socket, environ: Mapping[str, str]) -> list[Program]:
    descriptor = listening.fileno()
    arguments = ["api", "--socket", str(descriptor)]
    names = ["api", *(f"api{number}" for number in range(2, settings.api_processes + 1))]
    return [Program(name, arguments, environ, [descriptor]) for name in names]


def _bind(settings: Settings) -> socket.socket:
    """Return a socket that is bound to the API's address; wait for the port if it is taken."""
    deadline = time.monotonic() + _PORT_TIMEOUT
    while True:
        bound = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((settings.host, settings.port))
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise errors.ConfigurationError(
                    f"Cannot listen on {settings.host}, port {settings.port}: {error.strerror}. Choose "
                    "another address with SPLEETER_HOST and SPLEETER_PORT."
                ) from error
            time.sleep(0.2)
        else:
            return bound


def _listen(settings: Settings, bound: socket.socket) -> None:
    """Listen, and print the address of the service, and the development key if one is needed."""
    from spleeter_microservice.bootstrap.shared import development_key, needs_development_key

    bound.listen(_BACKLOG)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}/"
    print(f"Page and API: {address}")
    if needs_development_key(settings):
        key = development_key(settings)
        print(f"Key: {key}")
        print(f"Page with this key: {address}#key={key}")
    sys.stdout.flush()
