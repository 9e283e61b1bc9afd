"""A module in other formats, each made by TensorFlow and then tried against the module itself.

make_serving(module, directory) ──▶ SavedModel tagged ``serve``, for TensorFlow Serving and TFX
make_tflite(module, directory)  ──▶ ``model.tflite``, for phones and other small machines

TensorFlow runs in a child process only (child.py): a converter may end the process that runs it.
"""
