"""Runs the command line as ``python -m spleeter_microservice``."""

import sys

from spleeter_microservice.cli.main import main

sys.exit(main())
