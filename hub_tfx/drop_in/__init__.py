"""For code that calls TF Hub itself: the same calls, and our store fetches the modules.

resolver.py        what stands in front of TF Hub's own resolvers
for_pythonpath/    a sitecustomize for programs that cannot be changed: `hub-tfx drop-in` prints it
"""

import os
from pathlib import Path

FOR_PYTHONPATH = os.fspath(Path(__file__).parent / "for_pythonpath")
"""The folder that goes to the front of PYTHONPATH."""
