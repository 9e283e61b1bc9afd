"""The archive of a version has the same bytes under any settings of a machine."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from published import card, module

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.layout import ARCHIVE
from hub_tfx.repository.publish import publish

_ELSEWHERE = """
import os, sys
os.umask(0o077)
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.publish import publish
made = ResolvedModule.of_directory(sys.argv[1])
publish(made, sys.argv[2], "acme/words", card=sys.argv[3])
"""


def _sha256(repository: Path) -> str:
    return hashlib.sha256((repository / "acme/words/1" / ARCHIVE).read_bytes()).hexdigest()


def test_umask_locale_time_zone_order_and_times_of_files_do_not_show(tmp_path: Path) -> None:
    made = module(tmp_path / "here")
    words = ("b", "a", "é", "Z")
    for folder, order in (("here", words), ("there", words[::-1])):
        if folder == "there":
            module(tmp_path / "there")
        for number, word in enumerate(order):
            path = tmp_path / folder / "assets" / f"{word}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(word)
            os.utime(path, (number, number * 1000))
            path.chmod(0o644 if folder == "here" else 0o600)
    made = ResolvedModule.of_directory(tmp_path / "here")
    publish(made, tmp_path / "r1", "acme/words", card=card(tmp_path))
    settings = {"LC_ALL": "C", "LANG": "C", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7"}
    environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [str(tmp_path / name) for name in ("there", "r2", "card.md")]
    subprocess.run([sys.executable, "-c", _ELSEWHERE, *arguments], env=environment, check=True)
    assert _sha256(tmp_path / "r1") == _sha256(tmp_path / "r2")
