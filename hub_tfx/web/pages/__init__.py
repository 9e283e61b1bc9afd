"""What people see: pages, each with a JSON twin from the same context.

routes.py       the addresses, and what each shows
parameters.py   what the query of an address may hold
module.py, versions.py, withdrawn.py, evaluation.py, lineage.py, compare.py, catalogue.py
                the contexts of pages: frozen dataclasses, read from the repository or its index
snippets.py     lines to copy that use a module
graph.py, metadata.py, drawing.py
                a lineage, what ML Metadata knows of it, where it is drawn
markdown.py     a card as HTML that is safe
responses.py    a context as a page or as JSON
environment.py, templates/, static/
                templates, one stylesheet, and one script that copies
"""

from hub_tfx.web.pages.responses import problem_page
from hub_tfx.web.pages.routes import routes

__all__ = ["problem_page", "routes"]
