"""The one place that keeps start-up noise of TensorFlow and its neighbours off a terminal."""

import logging
import os
import sys
import warnings

_NOISY = r"(google|kfp|pkg_resources|tensorflow|tensorflow_hub|keras|tfx|apache_beam)(\.|$)"


def quiet_libraries() -> None:
    """Hides what the libraries below us log about themselves, not about the user's data.

    Call it before TensorFlow is imported: its C++ part reads TF_CPP_MIN_LOG_LEVEL once, at import.
    A value that the user has set stays.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GLOG_minloglevel", "3")  # ML Metadata's C++ part, at its import.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # For worker processes, which inherit it.
    for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module=_NOISY)
    # TensorFlow and hub log through these two names; absl may be absent, and is slow to look for.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    absl = logging.getLogger("absl")
    if absl.level > logging.ERROR:  # A command set it that will tell the error itself.
        return
    absl.setLevel(logging.ERROR)
    if "absl.logging" in sys.modules:
        sys.modules["absl.logging"].set_verbosity("error")
