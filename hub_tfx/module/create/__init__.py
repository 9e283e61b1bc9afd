"""Authoring: builds modules and exports them, in TF1 hub format or as TF2 SavedModels.

    vocabulary, vectors = read_vectors("glove.6B.50d.txt.gz")
    text_embedding_module(vocabulary, vectors, "modules/glove/1", format="saved_model")
    image_feature_module(keras_model, "modules/flowers/1")
    module(module_fn, None, "modules/mine/1", checkpoint="train/model.ckpt-1000")

Nothing here touches the caller's default graph or switches TensorFlow's behaviour; each function
works in eager code and inside ``with tf.Graph().as_default()``. A module appears under its final
name when it is complete, and an existing one is never replaced.
"""

from hub_tfx.module.create.export import CreatedModule, module
from hub_tfx.module.create.image import image_feature_module
from hub_tfx.module.create.text import text_embedding_module
from hub_tfx.module.vectors import read_vectors

__all__ = [
    "CreatedModule",
    "image_feature_module",
    "module",
    "read_vectors",
    "text_embedding_module",
]
