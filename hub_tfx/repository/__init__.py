"""Published versions of modules: immutable, named, described, found again.

names.py      what a module, a version and an alias may be called
layout.py     where what lies, and the marker that makes a version one
storage.py    what a repository needs of a disk (local.py) or a bucket (buckets.py)
records.py    aliases, yanks and card revisions: numbered records that never change
versions.py   what there is, found by name
publish.py    a module becomes the next version
copying.py    a version goes from one repository to another
fetch.py      handles into a repository
"""
