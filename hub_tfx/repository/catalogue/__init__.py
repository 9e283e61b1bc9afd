"""The catalogue of a repository: its modules found by words, filtered, counted and sorted.

    catalogue = Catalogue.open(open_storage("./modules"), Path("index.sqlite"))
    catalogue.refresh()
    results = catalogue.search(CatalogueQuery("sentence vectors", task=("text-embedding",)))

The index is an SQLite file with FTS5. All of it is derived from the repository, so that a file that
is damaged, or is that of another repository, is simply built again.

entries.py    what goes in and comes out: queries, entries, results
answers.py    the same as parameters of a URL and as JSON
gather.py     what is indexed of a module
database.py   the file: its tables, a connection a thread, and what happens to a damaged one
refresh.py    which modules have changed, and how they get into the file
snapshot.py   facets and orders in memory, made again when the file has changed
nearest.py    names that look like one that is not there
index.py      Catalogue, which puts these together
"""

from hub_tfx.repository.catalogue.answers import (
    query_from_parameters,
    query_to_parameters,
    results_from_json,
    results_to_json,
)
from hub_tfx.repository.catalogue.entries import (
    FACETS,
    SORTS,
    CatalogueEntry,
    CatalogueQuery,
    CatalogueResults,
    Changes,
    Counts,
    Facet,
    NewVersion,
    Publisher,
)
from hub_tfx.repository.catalogue.index import Catalogue

__all__ = [
    "FACETS",
    "SORTS",
    "Catalogue",
    "CatalogueEntry",
    "CatalogueQuery",
    "CatalogueResults",
    "Changes",
    "Counts",
    "Facet",
    "NewVersion",
    "Publisher",
    "query_from_parameters",
    "query_to_parameters",
    "results_from_json",
    "results_to_json",
]
