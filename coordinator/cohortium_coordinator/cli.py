"""The operator's command line, ``cohortium``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from cohortium_coordinator.commands.lab import enrol, init, key, serve
from cohortium_coordinator.commands.plan import plan
from cohortium_coordinator.commands.study import study
from cohortium_protocols.errors import CohortiumError, UsageFault

INTERRUPTED = 130

_EPILOG = """\
\b
Start here:
  cohortium init lab
  cohortium plan check plan.yaml
  cohortium serve --config lab/cohortium.toml

\b
Exit codes: 0 ok, 2 usage, 3 input, 4 plan, 5 trust, 6 refused, 7 network, 8 storage, 130 interrupted.
"""


@click.group(
    epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="cohortium", prog_name="cohortium")
def cli() -> None:
    """Run studies across data holders whose rows never leave them."""


for _command in (init, enrol, key, serve, plan, study):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; mistakes go to standard error, without a traceback."""
    try:
        return int(cli.main(list(arguments), prog_name="cohortium", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return UsageFault.exit_code
    except CohortiumError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads any more: not a fault
        return 0


def main() -> None:
    """Runs the command line of this process."""
    sys.exit(run(sys.argv[1:]))
