"""Names of part files without the tags that depend on their bytes."""

import re


def untagged(names):
    """Names, sorted, such as embeddings-00000-of-00001.parquet."""
    return sorted(re.sub(r"(?<=-of-\d{5})-[0-9a-f]{12}(?=\.)", "", name) for name in names)
