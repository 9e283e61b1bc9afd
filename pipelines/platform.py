"""What the steps of a compiled pipeline get from the platform that they run on.

    platform:
      image: registry.example.org/hub-tfx:1
      service_account: trainer
      secrets: {METADATA_PASSWORD: mlmd/password}
      defaults: {cpu: 2, memory: 8Gi, retries: 2}
      steps:
        ModuleTrainer: {gpu: 1, gpu_type: nvidia-tesla-t4, memory: 32Gi, timeout: 6h}

Secrets are named, and never held. ``hub_tfx_kubeflow.platform`` puts this into what is compiled,
and refuses what a platform does not have; a run on this machine reads none of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from hub_tfx._config import Checked, Form, Range
from hub_tfx._text import hint, nearest, quoted, shortened
from hub_tfx.errors import ConfigError

NODE_POOL = "cloud.google.com/gke-nodepool"
GPU_TYPE = "cloud.google.com/gke-accelerator"
"""Labels of the nodes of Google Kubernetes Engine."""

_CPU = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m")
_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)([KMGTP]i|[kMGTP])")
_DURATION = re.compile(r"(?:([0-9]{1,4})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,8})s)?")
_SECONDS = (86400, 3600, 60, 1)
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_EMAIL = re.compile(rf"(?=.{{1,253}}\Z)[A-Za-z0-9._-]+@{_LABEL}(?:\.{_LABEL})+")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_KEY_OF_SECRET = re.compile(r"[-._A-Za-z0-9]{1,253}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,252}")
_PART_OF_IMAGE = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?=.{{1,500}}\Z)(?:[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?/)?{_PART_OF_IMAGE}(?:/{_PART_OF_IMAGE})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_NAME_OF_SECRET_VALUE = re.compile(
    r"(?:password|passwd|passphrase|secret|credentials?|(?:api|access|private|secret)_?key"
    r"|(?:^|_)(?:token|pwd|pass))\Z",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"://[^/?#\s@:]*:[^/?#\s@]*@|-----BEGIN |\A(?:gh[pousr]_|github_pat_|hf_|AKIA|AIza)"
)
_UNITS = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15} | {
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50
}  # fmt: skip


def _form(words: str, like: re.Pattern[str], example: str, *, numbers: bool = False) -> Form:
    """A text that a pattern describes."""

    def parse(text: str) -> str:
        if not like.fullmatch(text):
            raise ConfigError(f"{quoted(text)} is not {words}: write one such as {example}")
        return text

    return Form(words, parse, numbers=numbers)


def _cpu(text: str) -> str:
    if not _CPU.fullmatch(text) or not cpus(text):
        raise ConfigError(f"{quoted(text)} is not a number of CPUs: write 2, 0.5 or 500m")
    return text


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text) or not bytes_of(text):
        raise ConfigError(f"{quoted(text)} is not an amount of memory: write 512Mi, 4Gi or 16G")
    return text


def _duration(text: str) -> str:
    if not _DURATION.fullmatch(text) or not seconds(text):
        raise ConfigError(f"{quoted(text)} is not a duration: write 90s, 30m, 2h or 1h30m")
    return text


def cpus(text: str) -> float:
    """A number of CPUs: 0.5 of ``500m``."""
    return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)


def bytes_of(text: str) -> float:
    """An amount of memory: 4294967296 of ``4Gi``."""
    found = _MEMORY.fullmatch(text)
    assert found is not None
    return float(found[1]) * _UNITS[found[2]]


def seconds(text: str) -> int:
    """A duration: 5400 of ``1h30m``."""
    found = _DURATION.fullmatch(text)
    assert found is not None
    return sum(int(n or 0) * unit for n, unit in zip(found.groups(), _SECONDS, strict=True))


@dataclass(frozen=True)
class SecretKey:
    """A key of a Secret of Kubernetes; ``str`` and ``parse`` are each other's inverse.

    Attributes:
      name: name of the Secret.
      key: the key.
    """

    name: str
    key: str

    def __post_init__(self) -> None:
        """Checks both. What is wrong is not quoted, since it may be the secret itself.

        Raises:
          ConfigError: they are not what Kubernetes takes.
        """
        if not (_NAME.fullmatch(self.name) and _KEY_OF_SECRET.fullmatch(self.key)):
            raise ConfigError(
                "what is given is not a Secret and a key of it: write NAME/KEY, such as "
                "mlmd/password; no config holds a secret itself"
            )

    @classmethod
    def parse(cls, text: str) -> "SecretKey":
        """Reads ``NAME/KEY``.

        Raises:
          ConfigError: the text is something else.
        """
        name, _, key = text.partition("/")
        return cls(name, key)

    def __str__(self) -> str:
        return f"{self.name}/{self.key}"


def _value(text: str) -> str:
    if _SECRET_VALUE.search(text):
        raise ConfigError(
            "the value may be a secret: put it into a Secret, and write NAME/KEY under secrets"
        )
    if "{{" in text:
        raise ConfigError(f"{quoted(text)} holds {{{{, which platforms replace: write it without")
    return text


Image = Annotated[str, _form("the name of a container image", _IMAGE, "registry.org/hub-tfx:1")]
Cpu = Annotated[str, Form("a number of CPUs", _cpu, numbers=True)]
Memory = Annotated[str, Form("an amount of memory", _memory, numbers=True)]
Duration = Annotated[str, Form("a duration", _duration, numbers=True)]
LabelValue = Annotated[str, _form("the value of a label", _LABEL_VALUE, "pool-1", numbers=True)]
Value = Annotated[str, Form("the value of a variable", _value, numbers=True)]
Reference = Annotated[
    SecretKey,
    Form("a Secret and a key of it as NAME/KEY", SecretKey.parse, SecretKey, str, numbers=True),
]
Account = Annotated[
    str,
    _form("a service account", re.compile(f"{_NAME.pattern}|{_EMAIL.pattern}"), "pipeline-runner"),
]


@dataclass(frozen=True, kw_only=True)
class Toleration(Checked):
    """A taint of nodes that a step tolerates.

    Attributes:
      key: key of the taint; None for all taints.
      operator: ``Equal`` for taints with this value, ``Exists`` for those with any.
      value: value of the taint.
      effect: effect of the taint; None for all effects.
    """

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key is not None:
            _check_label("key", self.key)
        if (self.operator == "Exists") != (self.value is None):
            raise ConfigError("value is for operator Equal, which needs one; Exists takes none")
        if self.key is None and self.operator == "Equal":
            raise ConfigError("key is missing: name that of the taint, or take operator Exists")


@dataclass(frozen=True, kw_only=True)
class StepResources(Checked):
    """What a step is given, where it may run, and what becomes of it when it fails.

    Attributes:
      cpu: number of CPUs, such as 2 or 500m. None for what the platform gives.
      memory: amount of memory, such as 4Gi. None for what the platform gives.
      gpu: number of GPUs; None or 0 for none.
      gpu_type: type of the GPUs, as nvidia-tesla-t4 or NVIDIA_TESLA_T4. None for any, which Vertex
        AI Pipelines does not have.
      node_pool: node pool of Google Kubernetes Engine that the step runs in; None for any.
      node_selector: labels that the node of the step must have, with their values.
      tolerations: taints that the node of the step may have.
      retries: how often a step that failed is started again; None or 0 for never.
      retry_delay: time before the first retry, which doubles with each. None for a minute.
      timeout: time after which an attempt is stopped, and has failed. None for no limit.
    """

    cpu: Cpu | None = None
    memory: Memory | None = None
    gpu: Annotated[int, Range(least=0, most=64)] | None = None
    gpu_type: LabelValue | None = None
    node_pool: LabelValue | None = None
    node_selector: Mapping[str, LabelValue] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    retries: Annotated[int, Range(least=0, most=100)] | None = None
    retry_delay: Duration | None = None
    timeout: Duration | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for label in self.node_selector:
            _check_label("node_selector", label)
        for key, label in {"node_pool": NODE_POOL, "gpu_type": GPU_TYPE}.items():
            if getattr(self, key) is not None and label in self.node_selector:
                raise ConfigError(f"node_selector names {label}, and so does {key}: give one")


@dataclass(frozen=True, kw_only=True)
class StepPlatform(StepResources):
    """What one step gets, in the place of what all steps get, or in addition to it.

    Attributes:
      image: container image that the step runs in; None for that of all steps.
      env: more environment variables.
      secrets: more environment variables that hold a secret.
    """

    image: Image | None = None
    env: Mapping[str, Value] = field(default_factory=dict)
    secrets: Mapping[str, Reference] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_variables(self.env, self.secrets)


@dataclass(frozen=True, kw_only=True)
class PlatformConfig(Checked):
    """What the steps of a compiled pipeline get; `hub-tfx run` reads none of it.

    Attributes:
      image: container image that the steps run in; None where `--image` names it.
      service_account: who the steps are. For Kubeflow Pipelines a service account of Kubernetes,
        which workload identity binds to one of the cloud; for Vertex AI Pipelines the address of
        one of Google Cloud. None for the platform's default.
      env: environment variables of all steps.
      secrets: environment variables of all steps that hold a secret, as ``NAME/KEY``: a Secret of
        Kubernetes, and a key of it. The secret itself is never here.
      defaults: what each step is given.
      steps: id of a step, such as ModuleTrainer -> what it gets in the place of that.
    """

    image: Image | None = None
    service_account: Account | None = None
    env: Mapping[str, Value] = field(default_factory=dict)
    secrets: Mapping[str, Reference] = field(default_factory=dict)
    defaults: StepResources = field(default_factory=StepResources)
    steps: Mapping[str, StepPlatform] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_variables(self.env, self.secrets)
        for step in self.steps:
            try:
                self.of(step)
            except ConfigError as error:
                raise ConfigError(f"steps.{shortened(step)}: {error}") from None
        for key, needs in {"gpu_type": "gpu", "retry_delay": "retries"}.items():
            self._check_needed(key, needs)

    def _check_needed(self, key: str, needs: str) -> None:
        """Refuses a key that does nothing, since another one is missing."""
        for step, own in self.steps.items():
            if getattr(own, key) is not None and not getattr(self.of(step), needs):
                where = f"steps.{shortened(step)}"
                raise ConfigError(f"{where} has {key}, but no {needs}: give both")
        given = [self.defaults, *self.steps.values()]
        if getattr(self.defaults, key) is not None and not any(getattr(g, needs) for g in given):
            raise ConfigError(f"defaults have {key}, but nothing has {needs}: give both")

    def of(self, step: str) -> StepPlatform:
        """What a step gets. Mappings and lists of its own are added to those of all steps."""
        own = self.steps.get(step, StepPlatform())
        shared = {key.name: getattr(self.defaults, key.name) for key in fields(StepResources)}
        shared |= {"image": self.image, "env": self.env, "secrets": self.secrets}
        return StepPlatform(
            **{name: _joined(value, getattr(own, name)) for name, value in shared.items()}
        )

    def check_steps(self, known: Sequence[str]) -> None:
        """Raises ConfigError for the id of a step that a pipeline does not have."""
        for step in self.steps:
            if step not in known:
                raise ConfigError(
                    f"platform.steps: {quoted(step)} is not a step of this pipeline; its steps are "
                    f"{', '.join(known)}{hint(nearest(step, known))}"
                )


def _joined(shared: Any, own: Any) -> Any:
    if isinstance(shared, Mapping):
        return {**shared, **own}
    if isinstance(shared, tuple):
        return tuple(dict.fromkeys((*shared, *own)))
    return shared if own is None else own


def _check_label(where: str, label: str) -> None:
    prefix, slash, name = label.rpartition("/")
    if not _LABEL_VALUE.fullmatch(name) or (slash and not _NAME.fullmatch(prefix)):
        raise ConfigError(
            f"{where}: {quoted(label)} is not the key of a label: write one such as a/b"
        )


def _check_variables(env: Mapping[str, str], secrets: Mapping[str, SecretKey]) -> None:
    for where, given in {"env": env, "secrets": secrets}.items():
        for name in given:
            if not _VARIABLE.fullmatch(name):
                raise ConfigError(
                    f"{where} has {quoted(name)}, which is not the name of an environment "
                    "variable: write letters, digits and _, and no digit first"
                )
    if both := sorted(env.keys() & secrets.keys()):
        raise ConfigError(f"env and secrets both have {both[0]}: remove one of them")
    for name, value in env.items():
        if _NAME_OF_SECRET_VALUE.search(name) and not value.startswith("/"):
            raise ConfigError(
                f"env has {name}, which may hold a secret: put that into a Secret, and write "
                f"{name}: NAME/KEY under secrets"
            )
