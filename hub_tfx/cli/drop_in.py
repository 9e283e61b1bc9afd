"""`hub-tfx drop-in`: for programs that call TF Hub and cannot be changed."""

import click

from hub_tfx.cli.output import print_path
from hub_tfx.drop_in import FOR_PYTHONPATH


@click.command("drop-in", short_help="Print the folder that lets TF Hub take modules from here.")
def drop_in() -> None:
    """Print a folder for PYTHONPATH that has TF Hub take modules from our cache.

    The program is left as it is. TFHUB_CACHE_DIR names the cache, HUB_TFX_LOCK_FILE a lock file.

    \b
    Example:
      PYTHONPATH="$(hub-tfx drop-in)" python train.py
    """
    print_path(FOR_PYTHONPATH)
