"""What a training has evaluated and exported, on disk: a run that was cut off resumes from it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from hub_tfx._files import replacing
from hub_tfx.finetune.identity import check_same, identity_of
from hub_tfx.finetune.schedule import History, index_of_best, is_stalled
from hub_tfx.finetune.training import Trained, TrainingJob

MODULE, SERVING = "module", "serving"
"""Names of the directories in that of an evaluation."""


class Evaluations:
    """Evaluations whose exports are complete. What else is there was cut off, and is removed::

        {work_dir}/evaluations.json
        {work_dir}/evaluated/{step}/module/     of the newest and of the best
        {work_dir}/evaluated/{step}/serving/    of the best

    No clock says which is the newest: hub's exporter names directories by the second.

    Attributes:
      history: step -> metrics, in order.
    """

    def __init__(self, job: TrainingJob):
        """Raises OutputError where ``job.work_dir`` holds another training."""
        self._work_dir = job.work_dir
        self._config = job.config
        self._training = identity_of(job)
        self._file = job.work_dir / "evaluations.json"
        self.history: dict[int, Mapping[str, float]] = {}
        job.work_dir.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            self._read()
        else:
            self._write()
        self._clean()

    @property
    def stalled(self) -> bool:
        """Whether the best evaluation is so many evaluations ago that training is to stop."""
        return is_stalled(self._config, self._in_order)

    def is_best(self, metrics: Mapping[str, float]) -> bool:
        """Whether these are better than all so far."""
        history = self._in_order
        return index_of_best([*history, (-1, metrics)]) == len(history)

    def folder(self, step: int) -> Path:
        """Where the exports of an evaluation go."""
        return self._work_dir / "evaluated" / str(step)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records an evaluation when its exports are complete, and removes what is obsolete."""
        self.history[step] = metrics
        self._write()
        self._clean()

    def trained(self) -> Trained:
        """The outcome, once training is over."""
        newest, best = self._newest, self._best
        return Trained(
            newest=self.folder(newest) / MODULE,
            best=self.folder(best) / MODULE,
            serving=self.folder(best) / SERVING,
            metrics=self.history[newest],
            best_metrics=self.history[best],
            steps=newest,
            history=tuple(self.history.items()),
        )

    @property
    def _newest(self) -> int:
        return max(self.history)

    @property
    def _best(self) -> int:
        return self._in_order[index_of_best(self._in_order)][0]

    @property
    def _in_order(self) -> History:
        return list(self.history.items())

    def _read(self) -> None:
        document = json.loads(self._file.read_text())
        check_same(document["training"], self._training, self._work_dir)
        self.history = {int(step): metrics for step, metrics in document["history"]}

    def _write(self) -> None:
        document = {"training": self._training, "history": list(self.history.items())}
        with replacing(self._file) as temporary:
            temporary.write_text(json.dumps(document))

    def _clean(self) -> None:
        shutil.rmtree(self._work_dir / "export", ignore_errors=True)
        kept = {str(self._newest), str(self._best)} if self.history else set()
        for folder in self._work_dir.glob("evaluated/*"):
            if folder.name not in kept:
                shutil.rmtree(folder)
