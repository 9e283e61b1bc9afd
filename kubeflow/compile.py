"""The old name of `hub-tfx compile`: `python -m hub_tfx_kubeflow.compile`."""

import sys

from hub_tfx.cli.names import run_renamed
from hub_tfx_kubeflow.cli import compile_

if __name__ == "__main__":
    sys.exit(run_renamed(compile_, sys.argv[1:], f"python -m {__spec__.name}", "hub-tfx compile"))
