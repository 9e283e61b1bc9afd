"""Published versions of modules: immutable, named, described, found again.

names.py      what a module, a version and an alias may be called
layout.py     where what lies, and the marker that makes a version one
storage.py    what a repository needs of a disk (local.py) or a bucket (buckets.py)
card*.py      what people say of a module; facts.py, what is known of it
records.py    aliases, yanks and card revisions: numbered records that never change
versions.py   what there is, found by name
changes.py    aliases, yanks and corrected cards
publish.py    a module becomes the next version
copying.py    a version goes from one repository to another
verify.py, garbage.py   is it all as it was published, and what can go
fetch.py      handles into a repository
catalogue/    an index of it, and what is found by that
"""
