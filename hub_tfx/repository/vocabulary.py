"""What a module may be for: the tasks of tfhub.dev.

The names are those of ``tags/task.yaml`` in https://github.com/tensorflow/tfhub.dev. Where it has
two for one task, the other one is in ``SAME_TASK``.
"""

DOMAINS = ("image", "text", "audio", "video")

_NAMES = {
    "image": (
        "aesthetic-quality",
        "augmentation",
        "classification",
        "classification-logits",
        "deblurring",
        "dehazing",
        "denoising",
        "depth-estimation",
        "deraining",
        "enhancement",
        "extrapolation",
        "feature-vector",
        "generator",
        "object-detection",
        "others",
        "pose-detection",
        "rnn-agent",
        "segmentation",
        "style-transfer",
        "super-resolution",
        "text-detection",
        "text-recognition",
    ),
    "text": (
        "classification",
        "embedding",
        "generation",
        "language-model",
        "preprocessing",
        "question-answering",
        "retrieval-question-answering",
        "segmentation",
        "sequence-alignment",
        "to-mel",
    ),
    "audio": (
        "command-detection",
        "embedding",
        "event-classification",
        "paralinguistics",
        "pitch-extraction",
        "speech-synthesis",
        "stt",
        "synthesis",
    ),
    "video": (
        "audio-text",
        "classification",
        "generation",
        "text",
    ),
}

TASKS: tuple[str, ...] = tuple(f"{domain}-{name}" for domain in DOMAINS for name in _NAMES[domain])

SAME_TASK = {
    "image-classifier": "image-classification",
}
"""Names that tfhub.dev also had, and that which we take."""


def allowed_tasks(near: str) -> tuple[str, ...]:
    """The tasks of the same domain as a text that is not a task; all where it has none."""
    domain = near.partition("-")[0]
    return tuple(f"{domain}-{name}" for name in _NAMES.get(domain, ())) or TASKS


def is_of_text(task: str) -> bool:
    """Whether a task needs a language."""
    return task.startswith("text-")
