"""What people see while a module is downloaded."""

import pytest

from hub_tfx.cli import downloads
from hub_tfx.cli.downloads import ShownDownload, _bar
from hub_tfx.store.fetch.progress import Download, arrived, downloading, showing


def test_what_is_over_in_a_moment_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(ShownDownload()), downloading("https://h/m", 0, 100) as download:
        arrived(download, 100)
    assert capsys.readouterr().err == ""


def test_a_pipe_gets_lines_at_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(ShownDownload(0, 0)), downloading("https://h/m", 0, 3000) as download:
        for _ in range(3):
            arrived(download, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("hub-tfx: https://h/m: 2.0 kB of 3.0 kB, ")
    assert lines[1].endswith(" left")


def test_a_terminal_gets_a_bar_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Terminal:
        is_live = True

        def __init__(self, text: str):
            shown.append(text)

        def start(self) -> None:
            shown.append("start")

        def show(self, text: str) -> None:
            shown.append(text)

        def stop(self) -> None:
            shown.append("stop")

    monkeypatch.setattr(downloads, "ProgressLine", Terminal)
    with showing(ShownDownload(0)), downloading("m", 0, 4000) as download:
        arrived(download, 1000)
        arrived(download, 1000)
    assert shown[:2] == ["m", "start"]
    assert shown[2].startswith("█████░░░░░░░░░░░░░░░ m: 1.0 kB of 4.0 kB, ")
    assert shown[3].startswith("██████████░░░░░░░░░░ m: 2.0 kB")
    assert shown[4:] == ["stop"]


def test_without_a_total_there_is_no_bar() -> None:
    assert _bar(Download("m", 5, None)) == ""
    assert _bar(Download("m", 9, 3)) == "█" * 20 + " "
