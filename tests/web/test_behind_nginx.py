"""A server behind Debian's nginx, which sends the archives itself, as docs/serving.md has it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import COMPRESSED, ask, serving
from ports import free_port, wait_for

from hub_tfx.repository.layout import ARCHIVE
from hub_tfx.store.cache import ModuleCache

pytestmark = pytest.mark.engines
DOCS = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture(scope="module")
def front(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the nginx in front."""
    if (nginx := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    public = f"http://127.0.0.1:{port}"
    options = {"accel_prefix": "/-accel", "public_url": public}
    with serving(repository, folder / "index", **options) as behind:
        (folder / "nginx.conf").write_text(configuration(repository, folder, port, behind))
        command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(port, running)
            yield public
        finally:
            running.terminate()
            running.communicate()


def configuration(repository: Path, folder: Path, port: int, behind: str) -> str:
    """What docs/serving.md gives, with these ports and this repository."""
    found = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    ours = found[1]
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:8501;": f"server {behind.removeprefix('http://')};",
        "alias /srv/modules/;": f"alias {repository}/;",
    }.items():
        assert old in ours
        ours = ours.replace(old, new)
    user = "user root;\n" if os.geteuid() == 0 else ""  # Others may not read a folder of a test.
    main = f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
    paths = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy"))
    return f"{main}http {{\naccess_log off;\n{paths}\n{ours}}}\n"


def test_the_archive_comes_from_nginx_with_what_we_promise(front: str, repository: Path) -> None:
    answer = ask(front, f"/acme/words/3?{COMPRESSED}")
    assert answer.headers["server"].startswith("nginx")
    assert answer.body == (repository / "acme/words/3" / ARCHIVE).read_bytes()
    assert answer.headers["repr-digest"].startswith("sha-256=:")
    assert len(answer.headers["hub-tfx-digest"]) == 64
    assert answer.headers["content-type"] == "application/gzip"
    part = ask(front, f"/acme/words/3?{COMPRESSED}", Range="bytes=3-9")
    assert (part.status, part.body) == (206, answer.body[3:10])
    known = ask(front, f"/acme/words/3?{COMPRESSED}", If_None_Match=answer.headers["etag"])
    assert known.status == 304


def test_our_own_cache_verifies_what_nginx_sent(
    front: str, repository: Path, tmp_path: Path
) -> None:
    served = ModuleCache(tmp_path).resolve(f"{front}/acme/words@stable")
    assert served.digest == ModuleCache(tmp_path).resolve(f"repo+{repository}//acme/words/2").digest


def test_nobody_asks_for_files_by_themselves(front: str) -> None:
    for path in ("/-accel/acme/words/3/module.tar.gz", "/-accel/-/repository.json", "/-accel/"):
        assert ask(front, path).status == 404


def test_what_is_not_an_archive_comes_from_us(front: str) -> None:
    assert front in ask(front, "/-/feed.atom").text
    assert ask(front, f"/acme/words/1?{COMPRESSED}").status == 410
